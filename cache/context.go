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

// shareContext returns the context in which a batch reads. It ends with the batch, and has the values of the context of the
// reader that began it, as far as LoadContext passes them on, without transactions. Others share what is read, so it has no
// deadline of that reader's.
func (c *Cache[K, V]) shareContext(l *loadBatch[K, V]) (context.Context, error) {
	values := l.reader
	if c.cfg.LoadContext != nil {
		if err := c.callback("LoadContext", func() { values = c.cfg.LoadContext(l.reader) }); err != nil {
			return nil, err
		}
		if values == nil {
			values = context.Background()
		}
	}
	ctx := &sharedContext{Context: l.ctx, values: values, types: &c.txTypes, found: c.noteTransaction}
	return context.WithValue(ctx, loadMarkKey{}, &loadMark{load: l, outer: l.outer}), nil
}

// noteTransaction logs, once, that a loader looked for a transaction in its context.
func (c *Cache[K, V]) noteTransaction(v any) {
	c.stats.hiddenTx.Add(1)
	c.logOnce(slog.LevelWarn, "cache: a loader looks for its caller's transaction, which a load that others share does not see; "+
		"it must read from a pool", "", slog.String("type", reflect.TypeOf(v).String()))
}

// sharedContext is a context with the values of another one, but for the transactions and connections among them.
type sharedContext struct {
	context.Context //nolint:containedctx // it is one

	values context.Context //nolint:containedctx // as above
	types  *sync.Map
	found  func(any)
}

// Value implements context.Context.
func (s *sharedContext) Value(key any) any {
	if v := s.Context.Value(key); v != nil {
		return v // its own: how it is cancelled
	}
	v := s.values.Value(key)
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
