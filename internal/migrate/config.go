package migrate

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Config is the MigrateConfig of every component, which has the same fields and documents them.
type Config struct {
	Schema        string
	AppRole       string
	ReaderRole    string
	DryRun        io.Writer
	Logger        *slog.Logger
	After         int
	NoTransaction bool
}

const maxRole = 63 // Postgres cuts identifiers there

// withDefaults returns a complete copy of cfg, or an error that wraps ErrConfig and names the field.
func (c Component) withDefaults(cfg *Config) (Config, error) {
	var d Config
	if cfg != nil {
		d = *cfg
	}
	d.Schema = cmp.Or(d.Schema, c.DefaultSchema)
	if d.Logger == nil {
		d.Logger = slog.Default()
	}

	if err := sqltext.CheckSchema(d.Schema); err != nil {
		return d, fmt.Errorf("%w: Schema: %w", c.ErrConfig, err)
	}
	for _, role := range []struct{ field, name string }{{"AppRole", d.AppRole}, {"ReaderRole", d.ReaderRole}} {
		if len(role.name) > maxRole || !utf8.ValidString(role.name) || strings.IndexByte(role.name, 0) >= 0 {
			return d, fmt.Errorf("%w: %s: want at most %d bytes of UTF-8 without NUL", c.ErrConfig, role.field, maxRole)
		}
	}
	if latest := c.Latest(); d.After < 0 || d.After > latest {
		return d, fmt.Errorf("%w: After: %d is no version from 0 to %d", c.ErrConfig, d.After, latest)
	}
	return d, nil
}

// grants returns the statements for the roles of cfg, which run each time.
func (c Component) grants(cfg Config) string {
	var b strings.Builder
	for _, g := range []struct{ role, sql string }{{cfg.AppRole, c.AppGrants}, {cfg.ReaderRole, c.ReaderGrants}} {
		if g.role != "" {
			b.WriteString(sqltext.Render(fmt.Sprintf(g.sql, sqltext.Quote(g.role)), cfg.Schema) + "\n")
		}
	}
	return b.String()
}
