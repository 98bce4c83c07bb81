package cache

// leastShrunk is how many entries a map must have had to be worth copying.
const leastShrunk = 512

// shrinkMap is a map that gives its memory back: a map of Go's keeps what its largest size took. It is copied when it
// has an eighth of what it had at most, so that a removal costs the same on average. The zero value is empty.
type shrinkMap[K comparable, V any] struct {
	m    map[K]V
	peak int // the largest size since it was made
}

func (x *shrinkMap[K, V]) len() int { return len(x.m) }

// get returns the value of a key, or the zero value.
func (x *shrinkMap[K, V]) get(key K) V { return x.m[key] }

func (x *shrinkMap[K, V]) set(key K, v V) {
	if x.m == nil {
		x.m = make(map[K]V)
	}
	x.m[key] = v
	x.peak = max(x.peak, len(x.m))
}

func (x *shrinkMap[K, V]) remove(key K) {
	delete(x.m, key)
	if x.peak < leastShrunk || len(x.m) > x.peak/8 {
		return
	}
	smaller := make(map[K]V, len(x.m))
	for k, v := range x.m {
		smaller[k] = v
	}
	x.m, x.peak = smaller, len(smaller)
}
