package status

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// setting is a setting of the server as a connection of the pool has it.
type setting struct {
	name, value, unit, source string
	role, database            string
}

// readSettings reads settings on a connection of the pool, since that is the kind that the application works on. What
// the bus needs on its own connections it sets by itself.
func (d *doctor) readSettings(ctx context.Context, names ...string) (map[string]setting, error) {
	rows, err := d.pool.Query(ctx, d.statement("settings"), pgx.QueryExecModeExec, names)
	if err != nil {
		return nil, err
	}
	config := d.pool.Config().ConnConfig
	all := make(map[string]setting)
	s := setting{role: config.User, database: config.Database}
	_, err = pgx.ForEachRow(rows, []any{&s.name, &s.value, &s.unit, &s.source}, func() error {
		all[s.name] = s
		return nil
	})
	return all, err
}

// place says where the setting was made.
func (s setting) place() string {
	switch s.source {
	case "user":
		return "set on the role " + s.role
	case "database":
		return "set on the database " + s.database
	case "database user":
		return "set on the role " + s.role + " in the database " + s.database
	case "client":
		return "sent by the client in the connection's parameters"
	case "session":
		return "set by a statement on the connection, as in AfterConnect"
	case "default":
		return "the server's default"
	}
	return "set in the server's configuration"
}

// remedy says how to take the setting back.
func (s setting) remedy() string {
	switch s.source {
	case "user":
		return fmt.Sprintf("ALTER ROLE %s RESET %s.", s.role, s.name)
	case "database":
		return fmt.Sprintf("ALTER DATABASE %s RESET %s, or set it for the role.", s.database, s.name)
	case "database user":
		return fmt.Sprintf("ALTER ROLE %s IN DATABASE %s RESET %s.", s.role, s.database, s.name)
	case "client":
		return fmt.Sprintf("Take %s out of the address or of RuntimeParams.", s.name)
	case "session":
		return fmt.Sprintf("Take SET %s out of AfterConnect, or whatever else runs it.", s.name)
	}
	return fmt.Sprintf("Change %s in the server's configuration, or for this role: ALTER ROLE %s SET %s = ….", s.name, s.role, s.name)
}

// duration returns a setting that is a time. ok is false for one that is not, and for 0, which means never.
func (s setting) duration() (t time.Duration, ok bool) {
	n, err := strconv.ParseInt(s.value, 10, 64)
	if err != nil || n <= 0 {
		return 0, false
	}
	units := map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute}
	return time.Duration(n) * units[s.unit], units[s.unit] > 0
}

// settingRule says from when on a setting is worth a finding, and what it then does.
type settingRule struct {
	name   string
	level  Level
	wrong  func(d *doctor, s setting) bool
	effect string
}

// The rules, by how much harm they do.
var settingRules = []settingRule{
	{
		"session_replication_role", LevelFail, is("replica"),
		"Ordinary triggers do not fire on the pool's connections; those of a watched table do, as long as they are ENABLE ALWAYS",
	},
	{
		"statement_timeout", LevelFail, shorter(time.Second),
		"Statements end before a busy server can run them: commits, session writes and locks fail",
	},
	{
		"statement_timeout", LevelWarn, within(time.Second, 5*time.Second),
		"It is shorter than what this library allows a statement, so that writes fail on a server that is slow for a moment",
	},
	{
		"lock_timeout", LevelWarn, shorter(time.Second),
		"A transaction that meets another one on the same row fails instead of waiting for its turn",
	},
	{
		"idle_in_transaction_session_timeout", LevelWarn, shorter(time.Second),
		"A transaction in which the application pauses is ended",
	},
	{
		"transaction_timeout", LevelWarn, shorter(5 * time.Second),
		"Transactions end while they still work",
	},
	{
		"idle_session_timeout", LevelWarn, shorter(time.Minute),
		"The server closes the pool's connections between requests; set MaxConnIdleTime of the pool below it",
	},
	{
		"synchronous_commit", LevelWarn, func(d *doctor, s setting) bool {
			return s.value == "off" && slices.Contains(d.cfg.Components, ComponentLock)
		},
		"A crash of the server can issue a fencing token twice",
	},
	{
		"default_transaction_isolation", LevelWarn, func(_ *doctor, s setting) bool { return s.value != "read committed" },
		"Statements that meet on the same row are repeated until they do not: locks and sessions work, but slowly under contention",
	},
	{
		"max_notify_queue_pages", LevelWarn, func(_ *doctor, s setting) bool { n, err := strconv.Atoi(s.value); return err == nil && n < 1024 },
		"The notification queue is full soon when a listener hangs, and then every NOTIFY on the server fails",
	},
}

func is(value string) func(*doctor, setting) bool {
	return func(_ *doctor, s setting) bool { return s.value == value }
}

func shorter(limit time.Duration) func(*doctor, setting) bool { return within(0, limit) }

func within(from, to time.Duration) func(*doctor, setting) bool {
	return func(_ *doctor, s setting) bool {
		t, ok := s.duration()
		return ok && t >= from && t < to
	}
}

// settings checks what role, database, server and client set for the pool's connections.
func (d *doctor) settings(ctx context.Context) {
	names := make([]string, len(settingRules))
	for i, r := range settingRules {
		names[i] = r.name
	}
	all, err := d.readSettings(ctx, names...)
	if err != nil {
		d.broken("settings", err)
		return
	}

	found := false
	for _, r := range settingRules {
		s, ok := all[r.name]
		if !ok || !r.wrong(d, s) {
			continue
		}
		found = true
		d.note("settings", r.level, s.remedy(), "%s is %s%s, %s. %s.", s.name, s.value, s.unit, s.place(), r.effect)
	}
	if !found {
		d.ok("settings", "No setting of role, database or server stands in the way.")
	}
}
