package snippet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/bus/watch"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
	"github.com/pgcoherence/pgcoherence/status"
)

// User is a row of the table users.
type User struct {
	ID   int64
	Name string
	Tags []string
}

// Data is what an application keeps in a session.
type Data struct{ Theme string }

var (
	pool     *pgxpool.Pool
	db       *sql.DB
	b        *bus.Postgres
	users    *cache.Cache[int64, User]
	teams    *cache.Cache[int64, []User]
	store    *sessionstore.Store[Data]
	sessions *httpsession.Manager[Data]
	locks    *lock.Locker
	mux      *http.ServeMux
	id       int64
	name     string
	user     string
	token    string
	dsn      string
	receipt  bus.Receipt
	w        http.ResponseWriter
	r        *http.Request
)

func loadUser(ctx context.Context, id int64) (User, error) { return User{}, nil }

func checkPassword(r *http.Request) error { return nil }

var (
	_ = json.Marshal
	_ = errors.Is
	_ = fmt.Sprint
	_ = log.Print
	_ = slog.Info
	_ = os.Exit
	_ = signal.Notify
	_ = syscall.SIGTERM
	_ = time.Now
	_ uuid.UUID
	_ pgx.Tx
	_ watch.Watch
	_ cachetest.Bus
	_ redistier.Config
	_ status.Config
)
