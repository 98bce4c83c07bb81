-- All but one: the generation goes up, and the one row is taken along. Nothing happens if it is not valid. The
-- generation is compared on the locked row, so that a session which another has just ended is not revived.
WITH kept AS (
    SELECT s.id, s.user_id, s.gen FROM /*schema*/pgcoherence.session AS s
    WHERE (s.key = $1 AND s.proof = $2 OR s.prev_key = $1 AND s.prev_proof = $2 AND s.prev_until > clock_timestamp())
        AND s.user_id IS NOT NULL AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
), raised AS (
    UPDATE /*schema*/pgcoherence.session_user AS u SET gen = u.gen + 1, ended_at = clock_timestamp()
    FROM kept WHERE u.user_id = kept.user_id AND u.gen = kept.gen
    RETURNING u.gen, u.tag, kept.id
), moved AS (
    UPDATE /*schema*/pgcoherence.session AS s SET gen = raised.gen
    FROM raised WHERE s.id = raised.id AND s.revoked_at IS NULL AND s.gen = raised.gen - 1
    RETURNING s.id
)
SELECT raised.tag::text, moved.id IS NOT NULL FROM raised LEFT JOIN moved ON moved.id = raised.id
