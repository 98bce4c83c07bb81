package status_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

// The pages of a pod are mounted on a router of the application. All but the health checks needs the token.
func ExampleNew() {
	h, err := status.New(bus.NewLocal(), &status.Config{Name: "web-1", Token: "read it from the environment"})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/_pgcoherence/", http.StripPrefix("/_pgcoherence", h))

	for _, path := range []string{"/_pgcoherence/readyz", "/_pgcoherence/status"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 ok
	// 401 status: a token is needed: Authorization: Bearer …
}

// A shutdown begins with Drain: load balancers see it, and those who watch the live page go.
func ExampleHandler_Drain() {
	shutdown := func(ctx context.Context, server *http.Server, h *status.Handler) error {
		h.Drain()
		time.Sleep(5 * time.Second) // as long as load balancers take to notice
		return server.Shutdown(ctx)
	}
	_ = shutdown
}

// Doctor is for a command of the application, or its first lines in a new place.
func ExampleDoctor() {
	doctor := func(ctx context.Context, pool *pgxpool.Pool) error {
		d := status.Doctor(ctx, pool, &status.DoctorConfig{Components: []string{status.ComponentBus, status.ComponentLock}})
		if _, err := d.WriteTo(os.Stdout); err != nil {
			return err
		}
		if d.Worst() == status.LevelFail {
			return fmt.Errorf("the database is not fit")
		}
		return nil
	}
	_ = doctor
}
