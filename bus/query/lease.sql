SELECT extract(epoch FROM pod_lease)::float8 FROM /*schema*/pgcoherence.setting
