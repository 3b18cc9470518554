"""One thin script a stage: `python -P -m openassay.pipelines.STAGE TARGET`; stages.yaml says when each is run."""
