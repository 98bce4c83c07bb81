package cache

import "sync"

// index finds keys by their names where no ParseKey does. It counts what the cache holds and loads of each key, and keeps
// the name beside it: the application's KeyString is not called again.
type index[K comparable] struct {
	mu     sync.Mutex
	byName shrinkMap[string, []*indexed[K]]
	byKey  shrinkMap[K, *indexed[K]]
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
	i := x.byKey.get(key)
	if i == nil {
		i = &indexed[K]{key: key, name: name}
		x.byKey.set(key, i)
		x.byName.set(name, append(x.byName.get(name), i))
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
	if i := x.byKey.get(key); i != nil {
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
	i := x.byKey.get(key)
	if i == nil {
		return
	}
	if i.held--; i.held > 0 {
		return
	}

	x.byKey.remove(key)
	list := x.byName.get(i.name)
	if len(list) == 1 {
		x.byName.remove(i.name)
		return
	}
	rest := make([]*indexed[K], 0, len(list)-1)
	for _, other := range list {
		if other != i {
			rest = append(rest, other)
		}
	}
	x.byName.set(i.name, rest)
}

// find returns the keys of a name.
func (x *index[K]) find(name string) (keys []K) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, i := range x.byName.get(name) {
		keys = append(keys, i.key)
	}
	return keys
}
