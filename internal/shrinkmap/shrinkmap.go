// Package shrinkmap is a map that gives its memory back.
package shrinkmap

// Least is how many entries a map must have had to be worth copying.
const Least = 512

// Map is a map that gives its memory back: a map of Go's keeps what its largest size took. It is copied when it
// has an eighth of what it had at most, so that a removal costs the same on average. The zero value is empty.
type Map[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest size since it was made
}

// Len returns how many entries there are.
func (x *Map[K, V]) Len() int { return len(x.m) }

// Peak returns how many entries there have been at once since the map was made or copied.
func (x *Map[K, V]) Peak() int { return x.peak }

// Get returns the value of a key, or the zero value.
func (x *Map[K, V]) Get(key K) V { return x.m[key] }

// Set sets the value of a key.
func (x *Map[K, V]) Set(key K, v V) {
	if x.m == nil {
		x.m = make(map[K]V)
	}
	x.m[key] = v
	x.peak = max(x.peak, len(x.m))
}

// Remove removes a key, if it is there.
func (x *Map[K, V]) Remove(key K) {
	delete(x.m, key)
	if x.peak < Least || len(x.m) > x.peak/8 {
		return
	}
	smaller := make(map[K]V, len(x.m))
	for k, v := range x.m {
		smaller[k] = v
	}
	x.m, x.peak = smaller, len(smaller)
}
