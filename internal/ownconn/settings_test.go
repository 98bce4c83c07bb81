package ownconn_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// Whatever is set for the database, a connection of the library has its own settings, in every way to talk to a server.
func TestSettings(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	conn := dial(t, dialer(t, poolConfig(t, db)))
	var values []string
	foreign := map[string]string{
		"datestyle": "German", "intervalstyle": "sql_standard", "timezone": "Asia/Tokyo", "bytea_output": "escape", "extra_float_digits": "-10",
		"standard_conforming_strings": "off", "client_min_messages": "debug1",
		"statement_timeout": "7s", "lock_timeout": "7s", "idle_in_transaction_session_timeout": "7s", "idle_session_timeout": "7s",
		"transaction_timeout": "7s", "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
		"default_transaction_deferrable": "on", "search_path": "nowhere", "row_security": "on", "synchronous_commit": "off", "jit": "on",
		"plan_cache_mode": "force_custom_plan", "max_parallel_workers_per_gather": "4", "client_encoding": "LATIN1",
	}
	for _, s := range ownconn.Common {
		require.Contains(t, foreign, s.Name, "no other value to test with")
	}
	for name, value := range foreign {
		var exists bool
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1, true) IS NOT NULL", name).Scan(&exists))
		if exists {
			values = append(values, name+" = '"+value+"'")
		}
	}
	for _, value := range values {
		_, err := conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %q SET %s", db.Name, value))
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, len(values), len(foreign)-1, "all but transaction_timeout, which is new in 17")

	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
		pgx.QueryExecModeSimpleProtocol,
	} {
		config := poolConfig(t, db)
		config.ConnConfig.DefaultQueryExecMode = mode
		conn := dial(t, dialer(t, config))
		for _, s := range append(ownconn.Common, ownconn.Setting{Name: "client_encoding", Value: "UTF8"}) {
			var value *string
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1, true)", s.Name).Scan(&value), mode)
			if value != nil {
				require.Equal(t, s.Value, *value, "%v: %s", mode, s.Name)
			}
		}
	}
}
