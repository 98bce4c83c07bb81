-- What the role may not do but must, as "PRIVILEGE ON what"; empty if it may do all. Asking takes no right at all.
SELECT coalesce(array_agg(need.text ORDER BY need.text), '{}')
FROM (
    SELECT t.privilege || ' ON ' || t.name AS text
    FROM (VALUES ('lease', 'SELECT'), ('lease', 'INSERT'), ('lease', 'UPDATE'), ('lease', 'DELETE'),
                 ('lease_waiter', 'SELECT'), ('lease_waiter', 'INSERT'), ('lease_waiter', 'UPDATE'), ('lease_waiter', 'DELETE'),
                 ('lease_share', 'SELECT'), ('lease_share', 'INSERT'), ('lease_share', 'UPDATE'), ('lease_share', 'DELETE'),
                 ('incarnation', 'SELECT'), ('incarnation', 'UPDATE')) AS t (name, privilege)
    WHERE NOT has_table_privilege('/*schema*/pgcoherence.' || t.name, t.privilege)
    UNION ALL
    SELECT s.privilege || ' ON SEQUENCE lease_token'
    FROM (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) AS s (privilege)
    WHERE NOT has_sequence_privilege('/*schema*/pgcoherence.lease_token', s.privilege)
    UNION ALL
    SELECT 'EXECUTE ON FUNCTION ' || p.proname
    FROM pg_proc AS p
    WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = '/*schema*/pgcoherence.lease'::regclass)
      AND p.proname IN ('raise_incarnation', 'lease_minutes', 'incarnation_here', 'queue_head', 'first_waiter', 'newest_head', 'next_waiter', 'is_queued', 'may_take',
                        'leave_queue', 'tell_heir', 'lease_try', 'lease_claim', 'lease_enqueue', 'lease_give', 'leave_queues', 'lease_reap',
                        'share_try', 'share_give', 'share_resize', 'share_room_at', 'share_end', 'share_settle', 'share_hand_on')
      AND NOT has_function_privilege(p.oid, 'EXECUTE')
) AS need
