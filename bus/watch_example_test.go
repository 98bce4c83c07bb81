package bus_test

import (
	"context"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Whatever changes rows of these tables, in whatever language, the pods hear of it. Called by every pod when it starts,
// this does nothing but look from the second time on.
func ExamplePostgres_WatchTable() {
	watch := func(ctx context.Context, b *bus.Postgres) error {
		for _, w := range []bus.Watch{
			{Table: "users", Topic: "users"}, // the key is the primary key
			{Table: "app.memberships", Topic: "teams", Key: []string{"team_id"}},
			{Table: "settings", Topic: "settings", All: true, Announce: bus.InTransaction},
		} {
			if err := b.WatchTable(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
	_ = watch
}

// The key of a row with a primary key of two columns.
func ExampleKeyOf() {
	fmt.Println(bus.KeyOf("42"), bus.KeyOf("42", "de,at"))
	// Output: 42 42,de%2Cat
}
