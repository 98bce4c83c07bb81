package sessionstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// check stands for whatever a program does about errors.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// preferences are what an application keeps in a session.
type preferences struct{ Theme string }

// exampleStore is what a program sets up at its start.
func exampleStore(ctx context.Context) (_ *sessionstore.Store[preferences], _ *bus.Local, stop func()) {
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	check(err)
	pool, err := pgxpool.New(ctx, server.DSN("postgres"))
	check(err)
	check(sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet}))
	b := bus.NewLocal() // with more than one pod: bus.NewPostgres
	store, err := sessionstore.New[preferences](b, pool, nil)
	check(err)
	return store, b, func() {
		_ = store.Close()
		pool.Close()
		_ = server.Close()
	}
}

// A login, a request, and the end of all sessions of the user.
func Example() {
	ctx := context.Background()
	store, b, stop := exampleStore(ctx)
	defer stop()

	login, err := store.BeginLogin(ctx, "ann")
	check(err)
	// Here the password is checked.
	token, session, err := store.Create(ctx, login, preferences{Theme: "light"}, &sessionstore.CreateOptions{
		Device: &sessionstore.Device{Label: "laptop"},
	})
	check(err)
	fmt.Println(len(token), session.User, session.Data.Theme)

	session, err = store.Update(ctx, token, func(p *preferences) error {
		p.Theme = "dark"
		return nil
	})
	check(err)
	list, err := store.List(ctx, "ann")
	check(err)
	fmt.Println(session.Data.Theme, session.Version, list[0].Device.Label)

	receipt, err := store.RevokeUser(ctx, "ann")
	check(err)
	check(b.Confirm(ctx, receipt))
	_, err = store.Get(ctx, token)
	fmt.Println(err, errors.Is(err, sessionstore.ErrNoSession))
	// Output:
	// 43 ann light
	// dark 2 laptop
	// sessionstore: session revoked true
}

// The state of an OAuth login comes back on whatever pod the provider sends the browser to, and works once.
func ExampleStore_TakeOneTime() {
	ctx := context.Background()
	store, _, stop := exampleStore(ctx)
	defer stop()

	cookie := "a random value in a cookie of its own"
	state, err := store.PutOneTime(ctx, "oauth", []byte("PKCE verifier"), &sessionstore.OneTimeOptions{Binding: cookie})
	check(err)
	data, err := store.TakeOneTime(ctx, "oauth", state, cookie)
	fmt.Println(string(data), err)
	_, err = store.TakeOneTime(ctx, "oauth", state, cookie)
	fmt.Println(err)
	// Output:
	// PKCE verifier <nil>
	// sessionstore: session not found
}

// A stream ends when its session does, on whatever pod that is ended.
func ExampleStore_Bind() {
	serve := func(ctx context.Context, store *sessionstore.Store[preferences], token string, events <-chan string) error {
		session, err := store.Get(ctx, token)
		if err != nil {
			return err
		}

		ctx, cancel := store.Bind(ctx, session)
		defer cancel()

		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx) // ErrRevoked, ErrExpired, …
			case e := <-events:
				fmt.Println(e)
			}
		}
	}
	_ = serve
}

// A new password and the end of all other sessions are one commit.
func ExampleStore_RevokeUserExceptTx() {
	change := func(ctx context.Context, b *bus.Postgres, store *sessionstore.Store[preferences], token, hash string) error {
		session, err := store.GetFresh(ctx, token)
		if err != nil {
			return err
		}

		receipt, err := b.InTx(ctx, func(tx *bus.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE users SET password = $1 WHERE id = $2", hash, session.User); err != nil {
				return err
			}
			return store.RevokeUserExceptTx(ctx, tx, token)
		})
		if err != nil {
			return err
		}

		return b.Confirm(ctx, receipt)
	}
	_ = change
}
