package cache

import (
	"context"
)

// GetMany returns the values of many keys. Keys that do not exist are not in the map. If the loader is a
// [BatchLoader], missing keys are loaded with it, at most MaxBatch at once; otherwise each key is loaded by itself.
// If some keys cannot be loaded, the map has the others, and the error is a *[KeysError].
func (c *Cache[K, V]) GetMany(ctx context.Context, keys []K) (map[K]V, error) {
	values, failed := c.getMany(ctx, keys)
	if failed != nil {
		return values, failed
	}
	return values, nil
}

// loadAll is GetMany for its effect on the cache.
func (c *Cache[K, V]) loadAll(ctx context.Context, keys []K) *KeysError[K] {
	_, failed := c.getMany(ctx, keys)
	return failed
}

func (c *Cache[K, V]) getMany(ctx context.Context, keys []K) (map[K]V, *KeysError[K]) {
	m := many[K, V]{
		c: c, ctx: ctx, asked: c.tags.Count(),
		values: make(map[K]V, len(keys)),
	}
	if outerLoad(ctx) != nil {
		m.permits = make(chan struct{}, c.cfg.LoadConcurrency) // a load waits for no permit of all
	}

	for rest := keys; len(rest) > 0; {
		m.lookup(rest)
		rest = m.wait()
	}
	return m.values, m.failed
}

// many is one GetMany.
type many[K comparable, V any] struct {
	c       *Cache[K, V]
	ctx     context.Context //nolint:containedctx // it lives as long as the call
	asked   uint64          // the count of tags at its begin
	values  map[K]V
	waits   []*call[K, V]
	awaited map[K]struct{} // the keys of waits
	filling *loadBatch[K, V]
	single  []*loadBatch[K, V] // of one key each, which are looked up in the tier together
	permits chan struct{}
	failed  *KeysError[K]
}

// put adds a value to the result.
func (m *many[K, V]) put(key K, v V) {
	v, err := m.c.clone(v)
	if err != nil {
		m.fail(key, err)
		return
	}
	m.values[key] = v
}

// fail adds an error to the result. A key that does not exist is none.
func (m *many[K, V]) fail(key K, err error) {
	if isAbsent(err) {
		return
	}
	if m.failed == nil {
		m.failed = &KeysError[K]{first: err, Errors: make(map[K]error)}
	}
	if m.c.names.checkKey(key) != nil {
		m.failed.others = append(m.failed.others, err) // a map cannot hold the key
		return
	}
	m.failed.add(key, err)
}

// lookup looks all keys up, and begins the loads of what is not held.
func (m *many[K, V]) lookup(keys []K) {
	defer m.launchAll()

	for i, key := range keys {
		name, err := m.c.names.name(key)
		if err != nil {
			m.fail(key, err)
			continue
		}

		if _, ok := m.awaited[key]; ok {
			continue
		}
		if _, ok := m.values[key]; ok {
			continue
		}

		if e := m.c.hit(key); e != nil {
			if e.absent() {
				continue
			}
			m.put(key, e.value)
			continue
		}
		m.one(key, name, len(keys)-i)
	}
}

// one looks one key up, and records its load if need be: in the batch that is being filled, if there is one. At
// most so many more keys follow, itself included.
func (m *many[K, V]) one(key K, name string, more int) {
	w, err := m.c.find(m.ctx, lookup[K, V]{key: key, name: name, filling: m.filling, permits: m.permits})
	switch {
	case err != nil:
		m.fail(key, err)
		return
	case w.hit && w.err == nil:
		m.put(key, w.val)
		return
	case w.hit:
		m.fail(key, w.err)
		return
	case w.failed != nil:
		if old, ok := m.c.staleFallback(key); ok {
			m.put(key, old)
		} else {
			m.fail(key, w.failed)
		}
		return
	}

	if m.awaited == nil {
		m.awaited, m.waits = make(map[K]struct{}, more), make([]*call[K, V], 0, more)
	}
	m.awaited[key] = struct{}{}
	m.waits = append(m.waits, w.call)
	switch {
	case w.batch == nil: // another reader's
	case w.batch.turn != nil:
		m.c.launch(w.batch)
	default:
		if w.batch != m.filling {
			m.launch()
			m.filling = w.batch
		}
		if m.c.batch == nil && m.c.usesTier(m.filling) {
			m.single, m.filling = append(m.single, m.filling), nil
		} else if m.c.batch == nil || len(m.filling.calls) >= m.c.cfg.MaxBatch {
			m.launch()
		}
	}
}

// launch starts the batch that was being filled.
func (m *many[K, V]) launch() {
	if m.filling != nil {
		m.c.launch(m.filling)
		m.filling = nil
	}
}

// launchAll starts all that was recorded.
func (m *many[K, V]) launchAll() {
	m.launch()
	m.c.launchTogether(m.single)
	m.single = nil
}

// wait waits for all, and returns which have to be asked for again.
func (m *many[K, V]) wait() (again []K) {
	waits := m.waits
	m.waits, m.awaited = nil, nil

	for _, f := range waits {
		v, err, over := m.c.await(m.ctx, f, m.asked, readCached)
		switch {
		case over:
			again = append(again, f.key)
		case err != nil:
			m.fail(f.key, err)
		default:
			m.put(f.key, v)
		}
	}
	return again
}
