-- A page of the table of antonlindstrom/pgstore. Its key has no unique index: of equal ones the newest counts. The time
-- left is counted by the clock that wrote it, or the nearest to it.
SELECT convert_from(s.key, 'LATIN1'), convert_from(s.data, 'LATIN1'),
    (extract(epoch FROM s.expires_on - now()) * 1000000)::bigint
FROM (
    SELECT DISTINCT ON (h.key) h.key, h.data, h.expires_on FROM /*table*/http_sessions AS h
    WHERE h.key > convert_to($1::text, 'LATIN1') ORDER BY h.key, h.modified_on DESC NULLS LAST, h.id DESC LIMIT $2
) AS s
ORDER BY s.key
