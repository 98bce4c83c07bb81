package status

import (
	"bytes"
	"context"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// schemas checks that the tables are there and new enough, by what a migration would do.
func (d *doctor) schemas(ctx context.Context) (whole bool) {
	whole = true
	for _, c := range d.cfg.Components {
		todo, err := d.pending(ctx, c)
		call := c + ".Migrate"
		switch {
		case todo == nil:
			d.note("schema", LevelFail, "The components are bus, lock and sessionstore.", "%q is no component.", c)
			continue
		case err != nil:
			d.note("schema", LevelFail, "Let the role read the table migration: see AppRole of "+call+".", "The version of %s is not known: %s.", c, trim(err))
		case todo.Len() > 0:
			d.note("schema", LevelFail, "Call "+call+" when you deploy.", "The tables of %s are missing or too old.", c)
		case d.isNewer(ctx, c):
			d.note("schema", LevelWarn, "Nothing to do during a rolling deploy. Otherwise deploy the version that made them: this one is not tested with them.",
				"The tables of %s are newer than this version of the library.", c)
			continue
		default:
			d.ok("schema", "The tables of %s are there.", c)
			continue
		}

		whole = whole && c != ComponentBus
	}

	return whole
}

// pending returns what a migration of a component would run, nil for a component that does not exist.
func (d *doctor) pending(ctx context.Context, component string) (*bytes.Buffer, error) {
	quiet := slog.New(slog.DiscardHandler)
	var todo bytes.Buffer
	switch component {
	case ComponentBus:
		return &todo, bus.Migrate(ctx, d.pool, &bus.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
	case ComponentLock:
		return &todo, lock.Migrate(ctx, d.pool, &lock.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
	case ComponentSessionstore:
		return &todo, sessionstore.Migrate(ctx, d.pool, &sessionstore.MigrateConfig{Schema: d.cfg.Schema, DryRun: &todo, Logger: quiet})
	}
	return nil, nil
}

// isNewer reports whether the tables of a component are of a version that this code does not know.
func (d *doctor) isNewer(ctx context.Context, component string) bool {
	var version int
	if err := d.query(ctx, "version", component).Scan(&version); err != nil {
		return false
	}

	// MigrationSQL refuses to begin after a version that it does not know.
	var err error
	switch component {
	case ComponentBus:
		_, err = bus.MigrationSQL(&bus.MigrateConfig{Schema: d.cfg.Schema, After: version})
	case ComponentLock:
		_, err = lock.MigrationSQL(&lock.MigrateConfig{Schema: d.cfg.Schema, After: version})
	case ComponentSessionstore:
		_, err = sessionstore.MigrationSQL(&sessionstore.MigrateConfig{Schema: d.cfg.Schema, After: version})
	}
	return err != nil
}

// tables checks each table: that it exists, that a crash does to it what the protocol expects, and that no policy hides
// its rows.
func (d *doctor) tables(ctx context.Context) {
	rows, err := d.conn.Query(ctx, d.statement("tables"), pgx.QueryExecModeExec, d.cfg.Components, d.cfg.Schema)
	if err != nil {
		d.broken("tables", err)
		return
	}
	missing := make(map[string][]string)
	there := make(map[string]int)
	var logged, unlogged, hidden []string
	var component, name, persistence string
	var wantLogged, exists, secured bool
	if _, err = pgx.ForEachRow(rows, []any{&component, &name, &wantLogged, &exists, &persistence, &secured}, func() error {
		switch {
		case !exists:
			missing[component] = append(missing[component], name)
			return nil
		case wantLogged && persistence != "p":
			unlogged = append(unlogged, name)
		case !wantLogged && persistence != "u":
			logged = append(logged, name)
		}
		there[component]++
		if secured {
			hidden = append(hidden, name)
		}
		return nil
	}); err != nil {
		d.broken("tables", err)
		return
	}

	well := true
	for _, c := range d.cfg.Components {
		// A component without any table was never migrated, which the check of the schema says.
		if len(missing[c]) > 0 && there[c] > 0 {
			well = false
			d.note("tables", LevelFail, "Somebody dropped it. Drop the other tables of "+c+" and its rows in the table migration as well, and call "+c+".Migrate.",
				"The migrations of %s have run, and %s not there: %s.", c, isOrAre(missing[c]), strings.Join(missing[c], ", "))
		}
	}
	if len(logged) > 0 {
		well = false
		d.note("tables", LevelFail, "ALTER TABLE … SET UNLOGGED: a crash has to empty the log and its epoch together, and each write costs WAL.",
			"A table of the log is LOGGED: %s.", strings.Join(logged, ", "))
	}
	if len(unlogged) > 0 {
		well = false
		d.note("tables", LevelFail, "ALTER TABLE … SET LOGGED: a crash would empty it.", "A table that has to survive a crash is UNLOGGED: %s.", strings.Join(unlogged, ", "))
	}
	if len(hidden) > 0 {
		well = false
		d.note("tables", LevelFail, "ALTER TABLE … DISABLE ROW LEVEL SECURITY, or let the role bypass it: rows that a policy hides are lost events.",
			"Row level security applies to this role on %s.", strings.Join(hidden, ", "))
	}
	if well && len(there) > 0 {
		d.ok("tables", "The tables are of the right kind, and no policy hides their rows.")
	}
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return "one table is"
	}
	return "these tables are"
}

// grants checks what the role may do.
func (d *doctor) grants(ctx context.Context) {
	var missing []string
	var found int
	if err := d.query(ctx, "grants", d.cfg.Components, d.cfg.Schema).Scan(&missing, &found); err != nil {
		d.broken("grants", err)
		return
	}
	switch {
	case found == 0: // no table, nothing to grant on
	case len(missing) > 0:
		d.note("grants", LevelFail, "Name the role as AppRole when you migrate.", "The role lacks %s.", strings.Join(missing, ", "))
	default:
		d.ok("grants", "The role has every right that it needs.")
	}
}
