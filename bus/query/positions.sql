SELECT epoch, pos_xmax::text, pos_n FROM /*schema*/pgcoherence.pod
