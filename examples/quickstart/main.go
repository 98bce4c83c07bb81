// Command quickstart serves names from a cache that all processes keep coherent.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	dsn := os.Getenv("DATABASE_URL")
	if os.Args[len(os.Args)-1] == "migrate" { // once for each deployment, as the owner of the schema
		b := must(bus.Open(ctx, dsn, nil, &bus.OpenConfig{Migrate: &bus.MigrateConfig{}}))
		must(b.Pool().Exec(ctx, "CREATE TABLE IF NOT EXISTS users (id text PRIMARY KEY, name text NOT NULL)"))
		return
	}
	b := must(bus.Open(ctx, dsn, nil, nil)) // a pgxpool, and a bus that runs on it until Close
	users := must(cache.New(b, "users", cache.Func(func(ctx context.Context, id string) (name string, err error) {
		err = b.Pool().QueryRow(ctx, "SELECT name FROM users WHERE id = $1", id).Scan(&name)
		return name, err
	}), nil))
	http.HandleFunc("GET /{id}", func(w http.ResponseWriter, r *http.Request) {
		name, err := users.Get(r.Context(), r.PathValue("id")) // from memory, while that is proven to be in sync
		fmt.Fprintln(w, name, err)
	})
	http.HandleFunc("PUT /{id}/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, err := b.InTx(r.Context(), func(tx *bus.Tx) error { // *bus.Tx is a pgx.Tx
			_, err := tx.Exec(r.Context(), "INSERT INTO users VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = $2", r.PathValue("id"), r.PathValue("name"))
			return errors.Join(err, users.InvalidateTx(tx, r.PathValue("id"))) // sent together with the COMMIT
		})
		fmt.Fprintln(w, "saved", err)
	})
	server := &http.Server{Addr: os.Getenv("ADDR"), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Print(server.ListenAndServe()); stop() }()
	<-ctx.Done()
	log.Print("end: ", errors.Join(server.Shutdown(context.Background()), b.Close())) // requests first, then the bus
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
