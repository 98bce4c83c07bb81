-- What lists show of a session of a user.
UPDATE /*schema*/pgcoherence.session AS s SET device = jsonb_set(s.device, '{label}', to_jsonb($3::text))
WHERE s.id = $1::text::uuid AND s.user_id IS NOT DISTINCT FROM nullif($2::text, '')
    AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp()
    AND (s.idle IS NULL OR s.last_seen + s.idle > clock_timestamp())
    AND (s.user_id IS NULL OR s.gen = (SELECT u.gen FROM /*schema*/pgcoherence.session_user AS u WHERE u.user_id = s.user_id))
RETURNING s.id::text, s.key, s.prev_key, coalesce(s.user_id, '')
