package cache

import (
	"context"
	"database/sql"
	"log/slog"
	"reflect"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// loadContext returns what a load sees of the context of the reader that began it. Others share what it reads, so it sees
// no deadline, and no transaction of that reader's.
func (c *Cache[K, V]) loadContext(ctx context.Context) context.Context {
	if c.cfg.LoadContext != nil {
		var chosen context.Context
		_ = c.callback("LoadContext", func() { chosen = c.cfg.LoadContext(ctx) })
		if ctx = chosen; ctx == nil {
			ctx = context.Background()
		}
	}
	return &sharedContext{Context: context.WithoutCancel(ctx), types: &c.txTypes, found: c.noteTransaction}
}

// noteTransaction logs, once, that a loader looked for a transaction in its context.
func (c *Cache[K, V]) noteTransaction(v any) {
	c.stats.hiddenTx.Add(1)
	if _, logged := c.logged.LoadOrStore("transaction", true); !logged {
		c.cfg.Logger.Warn("cache: a loader looks for its caller's transaction, which a load that others share does not see; "+
			"it must read from a pool", slog.String("topic", c.topic), slog.String("type", reflect.TypeOf(v).String()))
	}
}

// sharedContext is a context without the transactions and connections in it.
type sharedContext struct {
	context.Context //nolint:containedctx // it is one

	types *sync.Map
	found func(any)
}

// Value implements context.Context.
func (s *sharedContext) Value(key any) any {
	v := s.Context.Value(key)
	if v == nil || !isTransactional(s.types, v) {
		return v
	}
	s.found(v)
	return nil
}

// isTransactional reports whether a value is a transaction or a connection, as far as its type shows it. Types maps those
// that were seen to the result.
func isTransactional(types *sync.Map, v any) bool {
	t := reflect.TypeOf(v)
	if known, ok := types.Load(t); ok {
		return known == true
	}
	is := transactional(t, 3)
	types.Store(t, is)
	return is
}

var connections = []reflect.Type{
	reflect.TypeFor[*pgx.Conn](), reflect.TypeFor[*pgxpool.Conn](), reflect.TypeFor[*sql.Conn](), reflect.TypeFor[*sql.Tx](),
}

// transactional looks for the methods of a transaction, in a type and, at most so deep, in the fields of a struct. It does
// not look at values, which others may change meanwhile.
func transactional(t reflect.Type, depth int) bool {
	for _, c := range connections {
		if t == c {
			return true
		}
	}
	_, commits := t.MethodByName("Commit")
	_, rollsBack := t.MethodByName("Rollback")
	if commits && rollsBack {
		return true
	}

	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth == 0 {
		return false
	}
	for i := range t.NumField() {
		if transactional(t.Field(i).Type, depth-1) {
			return true
		}
	}
	return false
}
