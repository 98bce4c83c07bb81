-- All pods, and those that have gone within $1 seconds. Columns after the name: since its start, its beat's number and
-- age, epoch and position as of that beat, what it says of itself, and for one that is gone, whether it was lost. Epoch
-- and position of one that is gone are of no use to anybody.
-- Times are numbers of microseconds: this runs on the pool, where anything may be set about how times look as text. They
-- are clamped, since a row may hold any, infinity included. $1 seconds.
SELECT id::text, name, (extract(epoch FROM begun) * 1000000)::bigint, (extract(epoch FROM now - begun) * 1000000)::bigint,
       (extract(epoch FROM now - beaten) * 1000000)::bigint, epoch, pos_xmax::text, pos_n, info, lost
FROM (
    SELECT id, name, started, beat_at, epoch, pos_xmax, pos_n, info, NULL::boolean AS lost
    FROM /*schema*/pgcoherence.pod
    UNION ALL
    SELECT id, name, started, beat_at, '', '0', 0, info, d.lost
    FROM /*schema*/pgcoherence.pod_departure AS d
    WHERE gone_at > clock_timestamp() - $1 * interval '1 second'
      AND NOT EXISTS (SELECT FROM /*schema*/pgcoherence.pod AS p WHERE p.id = d.id)
) AS pod,
    LATERAL (SELECT clock_timestamp() AS now) AS clock,
    LATERAL (SELECT greatest(least(started, now + interval '1 year'), now - interval '20 years') AS begun,
                    greatest(least(beat_at, now + interval '1 year'), now - interval '20 years') AS beaten) AS clamped
ORDER BY name, id
