package watch_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// A step of a deployment, by the role that owns the tables: the application's own role then needs no right to install.
func ExampleInstaller_Install() {
	deploy := func(ctx context.Context, conn *pgx.Conn) error {
		installer, err := watch.New(conn, nil)
		if err != nil {
			return err
		}
		_, err = installer.Install(ctx, watch.Watch{Table: "users", Topic: "users"})
		return err
	}
	_ = deploy
}

// The key of a row with a primary key of two columns.
func ExampleKeyOf() {
	fmt.Println(watch.KeyOf("42"), watch.KeyOf("42", "de,at"))
	// Output: 42 42,de%2Cat
}
