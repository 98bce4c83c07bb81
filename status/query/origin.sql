-- Whether the log came from another cluster or database.
SELECT /*schema*/pgcoherence.is_foreign()
