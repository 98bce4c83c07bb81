package cache

import (
	"sync"

	"github.com/pgcoherence/pgcoherence/internal/shrinkmap"
)

// index finds keys by their names where no ParseKey does. It counts what the cache holds and loads of each key, and keeps
// the name beside it: the application's KeyString is not called again.
type index[K comparable] struct {
	mu     sync.Mutex
	byName shrinkmap.Map[string, []*indexed[K]]
	byKey  shrinkmap.Map[K, *indexed[K]]
}

type indexed[K comparable] struct {
	key  K
	name string
	held int
}

func newIndex[K comparable]() *index[K] {
	return &index[K]{}
}

// add counts a call of a key.
func (x *index[K]) add(name string, key K) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.byKey.Get(key)
	if i == nil {
		i = &indexed[K]{key: key, name: name}
		x.byKey.Set(key, i)
		x.byName.Set(name, append(x.byName.Get(name), i))
	}
	i.held++
}

// retain counts an entry of a key, of which a call is under way.
func (x *index[K]) retain(key K) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := x.byKey.Get(key); i != nil {
		i.held++
	}
}

// remove takes back what add or retain has counted.
func (x *index[K]) remove(key K) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.byKey.Get(key)
	if i == nil {
		return
	}
	if i.held--; i.held > 0 {
		return
	}

	x.byKey.Remove(key)
	list := x.byName.Get(i.name)
	if len(list) == 1 {
		x.byName.Remove(i.name)
		return
	}
	rest := make([]*indexed[K], 0, len(list)-1)
	for _, other := range list {
		if other != i {
			rest = append(rest, other)
		}
	}
	x.byName.Set(i.name, rest)
}

// find returns the keys of a name.
func (x *index[K]) find(name string) (keys []K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, i := range x.byName.Get(name) {
		keys = append(keys, i.key)
	}
	return keys
}
