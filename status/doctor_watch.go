package status

import (
	"context"
	"strings"

	"github.com/pgcoherence/pgcoherence/bus"
)

// watches checks the triggers of watched tables.
func (d *doctor) watches(ctx context.Context) {
	b, err := bus.NewPostgres(d.pool, &bus.Config{Schema: d.cfg.Schema})
	if err != nil {
		d.broken("watches", err)
		return
	}
	all, err := b.Watches(ctx)
	if err != nil {
		return // the tables are missing, which is another check's finding
	}

	var broken []string
	for _, w := range all {
		if w.Broken != "" {
			broken = append(broken, w.Broken)
		}
	}
	if len(broken) > 0 {
		d.note("watches", LevelFail, "Call WatchTable again for the table, with columns that exist; it replaces what is there.",
			"What watches a table does not work: %s.", strings.Join(broken, "; "))
		return
	}
	if len(all) > 0 {
		d.ok("watches", "The triggers of %d watched tables are in place.", len(all))
	}
}
