-- All but one: the user gets another generation, and the one row is taken along. Nothing happens if it is not valid.
-- Whose the row is, and its generation, are compared again on the locked row: it may have been ended, or made somebody
-- else's, while this waited.
WITH kept AS (
    SELECT s.id, s.user_id, s.gen FROM /*schema*/pgcoherence.session AS s
    WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
        AND s.user_id IS NOT NULL AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
), raised AS (
    UPDATE /*schema*/pgcoherence.session_user AS u SET gen = /*schema*/pgcoherence.next_generation(), ended_at = clock_timestamp(), ended_by = nullif($3::text, '')
    FROM kept WHERE u.user_id = kept.user_id AND u.gen = kept.gen
    RETURNING u.gen, u.tag, kept.id, kept.user_id, kept.gen AS before
), moved AS (
    UPDATE /*schema*/pgcoherence.session AS s SET gen = raised.gen
    FROM raised WHERE s.id = raised.id AND s.revoked_at IS NULL AND s.user_id = raised.user_id AND s.gen = raised.before
    RETURNING s.id
)
SELECT raised.tag::text, moved.id IS NOT NULL, raised.user_id, raised.id::text FROM raised LEFT JOIN moved ON moved.id = raised.id
