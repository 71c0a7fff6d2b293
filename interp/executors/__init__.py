"""The executors, by the name that `--executor` gives them: functions of the jobs and of a folder of their own."""

GIVEN = ("jobs", "folder")
