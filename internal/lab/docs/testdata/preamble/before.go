package snippet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// oldCache is the kind of cache that programs have before they change to this library.
type oldCache interface {
	Get(ctx context.Context, key string) (any, bool)
	Set(ctx context.Context, key string, value any)
}

var (
	pool  *pgxpool.Pool
	old   oldCache
	b     *bus.Postgres
	lists *cache.Cache[int64, []string]

	_ = json.Marshal
	_ = errors.Is
	_ = fmt.Sprint
	_ = slices.Clone[[]string]
	_ = pgx.ErrNoRows
)
