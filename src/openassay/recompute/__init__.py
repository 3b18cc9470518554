"""Numbers that follow from other published files.

Their readers belong to the stage that computes (`compute`), not to the check of a target (`declared`).
"""
