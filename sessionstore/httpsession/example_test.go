package httpsession_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// profile is what an application keeps in a session.
type profile struct{ Theme string }

// checkPassword stands for the application's own check.
func checkPassword(r *http.Request) error {
	if r.PostFormValue("password") != "secret" {
		return errors.New("wrong name or password")
	}
	return nil
}

// A login in ten lines, and a page for members.
func Example() {
	store, stop := exampleStore()
	defer stop()
	sessions, err := httpsession.New(store, nil)
	check(err)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		login, err := store.BeginLogin(r.Context(), r.PostFormValue("user")) // before the password is checked
		if err == nil && checkPassword(r) != nil {
			http.Error(w, "wrong name or password", http.StatusForbidden)
			return
		}
		if err == nil {
			_, err = sessions.Login(w, r, login, profile{Theme: "dark"}, nil)
		}
		if err != nil {
			sessions.Error(w, r, err)
		}
	})
	mux.Handle("GET /account", sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessions.Get(r) // Require has looked it up
		fmt.Fprintln(w, session.User, session.Data.Theme)
	})))
	handler := sessions.Handler(mux)

	anonymous := httptest.NewRecorder()
	handler.ServeHTTP(anonymous, httptest.NewRequest("GET", "/account", http.NoBody))
	fmt.Print(anonymous.Code, " ", anonymous.Body)

	login := httptest.NewRecorder()
	form := httptest.NewRequest("POST", "/login", strings.NewReader("user=ann&password=secret"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	handler.ServeHTTP(login, form)

	request := httptest.NewRequest("GET", "/account", http.NoBody)
	for _, cookie := range login.Result().Cookies() {
		request.AddCookie(cookie)
	}
	account := httptest.NewRecorder()
	handler.ServeHTTP(account, request)
	fmt.Print(account.Code, " ", account.Body)
	// Output:
	// 401 not logged in
	// 200 ann dark
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// exampleStore is what a program sets up at its start.
func exampleStore() (*sessionstore.Store[profile], func()) {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	check(err)
	pool, err := pgxpool.New(ctx, server.DSN("postgres"))
	check(err)
	check(sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet}))
	store, err := sessionstore.New[profile](bus.NewLocal(), pool, nil)
	check(err)
	return store, func() {
		_ = store.Close()
		pool.Close()
		_ = server.Close()
	}
}
