-- Makes an epoch where there is none, and empties a log that is not from here. False: it is not empty yet.
SELECT /*schema*/pgcoherence.begin_epoch()
