package cache

import (
	"context"
	"errors"
)

// GetMany answers the values of many keys. Those that do not exist are not in the answer. If the loader is a BatchLoader,
// what is missing is read with it, at most MaxBatch keys at once; else each key is loaded for itself, at most
// LoadConcurrency at once. If something could not be loaded, the error says what went wrong first, and the answer holds the
// rest.
func (c *Cache[K, V]) GetMany(ctx context.Context, keys []K) (map[K]V, error) {
	m := many[K, V]{c: c, ctx: ctx, answer: make(map[K]V, len(keys)), waits: make(map[K]lookupResult[K, V])}
	rest := keys
	for attempt := 0; len(rest) > 0; attempt++ {
		m.lookup(rest, attempt > 1)
		rest = m.wait()
	}
	return m.answer, m.err
}

// many is one GetMany.
type many[K comparable, V any] struct {
	c      *Cache[K, V]
	ctx    context.Context //nolint:containedctx // it lives as long as the call
	answer map[K]V
	waits  map[K]lookupResult[K, V]
	batch  *loadBatch[K, V] // being filled
	slots  chan struct{}
	err    error
}

func (m *many[K, V]) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// lookup looks all up, and begins the loads of what is not there.
func (m *many[K, V]) lookup(keys []K, alone bool) {
	defer m.begin()
	for _, key := range keys {
		if _, ok := m.waits[key]; ok {
			continue
		}
		if _, ok := m.answer[key]; ok {
			continue
		}
		if e := m.c.hit(key); e != nil {
			if v, err := m.c.found(e); err == nil {
				m.answer[key] = v
			} else if !errors.Is(err, ErrNotFound) {
				m.fail(err)
			}
			continue
		}
		name, err := m.c.names.name(key)
		if err == nil {
			err = m.one(key, name, alone)
		}
		if err != nil {
			m.fail(err)
		}
	}
}

// one looks one up, and records its load if need be: in the load that is being filled, if there is one.
func (m *many[K, V]) one(key K, name string, alone bool) error {
	f, err := m.c.find(m.ctx, key, name, readCached, alone, m.batch)
	switch {
	case err != nil:
		return err
	case f.hit && f.err == nil:
		m.answer[key] = m.c.clone(f.val)
		return nil
	case f.hit && errors.Is(f.err, ErrNotFound):
		return nil
	case f.hit:
		m.fail(f.err)
		return nil
	}
	m.waits[key] = f
	if f.batch == nil {
		return nil
	}
	if f.batch != m.batch {
		m.begin()
		m.batch = f.batch
	}
	if m.c.batch == nil {
		if m.slots == nil {
			m.slots = make(chan struct{}, m.c.cfg.LoadConcurrency)
		}
		m.batch.slots = m.slots
		m.begin()
	} else if len(m.batch.calls) >= m.c.cfg.MaxBatch {
		m.begin()
	}
	return nil
}

// begin starts the load that was being filled.
func (m *many[K, V]) begin() {
	if m.batch != nil {
		m.c.begin(m.batch)
		m.batch = nil
	}
}

// wait waits for all, and answers which have to be asked for again.
func (m *many[K, V]) wait() (again []K) {
	for key, w := range m.waits {
		delete(m.waits, key)
		v, err, over := m.c.await(m.ctx, w)
		switch {
		case over:
			again = append(again, key)
		case err == nil:
			m.answer[key] = m.c.clone(v)
		case errors.Is(err, ErrNotFound):
		default:
			if old, ok := m.c.staleFallback(key); ok && m.ctx.Err() == nil {
				m.answer[key] = m.c.clone(old)
			} else {
				m.fail(err)
			}
		}
	}
	if m.err != nil {
		return nil
	}
	return again
}
