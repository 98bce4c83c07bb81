-- Logins of users without a row that began before this are refused.
UPDATE /*schema*/pgcoherence.session_state SET floor = /*schema*/pgcoherence.next_generation() | 524288
