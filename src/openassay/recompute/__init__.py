"""Numbers that follow from other published files. Their readers belong to the stage that computes, not to the check of a target."""
