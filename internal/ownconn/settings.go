package ownconn

import (
	"fmt"
	"strings"
)

// Setting is a setting of a session.
type Setting struct{ Name, Value string }

// common are the settings that every statement of the library relies on. A server that does not know one of them leaves
// it out. Texts are independent of what was set for the role, the database or the server; nothing but the library's own
// deadlines ends a statement or the session; a transaction writes, and sees what was committed before each statement;
// names mean what they mean in pg_catalog; and rows that row level security hides are an error.
//
// session_replication_role is not here: setting it takes a superuser, and there is no trigger on our tables.
var common = []Setting{
	{"datestyle", "ISO, MDY"},
	{"intervalstyle", "postgres"},
	{"timezone", "UTC"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
	{"standard_conforming_strings", "on"},
	{"client_min_messages", "error"},

	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"transaction_timeout", "0"}, // 17 and later

	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "off"},

	// A beat proves that a write would have been possible: it waits for a synchronous standby, if there is one.
	{"synchronous_commit", "on"},

	// No statement of ours gains by being compiled, and all are planned once.
	{"jit", "off"},
	{"plan_cache_mode", "auto"},
	{"max_parallel_workers_per_gather", "0"},
}

// settingsSQL is one statement of constant text that makes settings where they differ: pg_stat_statements has one entry
// for it, whichever role runs it.
func settingsSQL(settings []Setting) string {
	values := make([]string, len(settings))
	for i, s := range settings {
		values[i] = fmt.Sprintf("('%s','%s')", s.Name, s.Value)
	}
	return "SELECT count(set_config(name, value, false)) FROM (VALUES " + strings.Join(values, ",") +
		") AS s (name, value) WHERE current_setting(name, true) <> value"
}
