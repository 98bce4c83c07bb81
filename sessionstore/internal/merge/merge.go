// Package merge combines the values of a session that two requests have changed at the same time.
package merge

import "reflect"

// Values returns what the database holds now with the changes of one request applied: base is what the request has
// loaded, mine is what it leaves. Keys that the request has not touched keep their newest value, and of a key that both
// have changed the request's value wins. Lists of any that both have added to, such as flash messages, keep what both
// have added. The maps are not changed.
func Values[K comparable](base, mine, now map[K]any) map[K]any {
	merged := make(map[K]any, len(now)+len(mine))
	for key, value := range now {
		merged[key] = value
	}

	for key, value := range mine {
		before, known := base[key]
		if known && reflect.DeepEqual(before, value) {
			continue // untouched
		}
		current, present := now[key]
		if list, ok := lists(before, known, value, current, present); ok {
			value = list
		}
		merged[key] = value
	}

	for key, before := range base {
		if _, kept := mine[key]; kept {
			continue
		}
		// Removed. What others have added to a list since stays: it was not what the request has taken.
		if rest, ok := added(before, merged[key]); ok && len(rest) > 0 {
			merged[key] = rest
			continue
		}
		delete(merged, key)
	}
	return merged
}

// lists combines three versions of a list, the first and the last of which may be missing, if both later ones have only
// been added to, or one was taken away as a whole.
func lists(before any, known bool, mine, now any, present bool) ([]any, bool) {
	if !known {
		before = []any{}
	}
	more, ok := added(before, mine)
	if !ok {
		return nil, false
	}

	if !present {
		return more, true
	}
	if _, ok = added(before, now); !ok {
		return nil, false
	}

	current, _ := now.([]any) // added has seen it
	return append(current[:len(current):len(current)], more...), true
}

// added returns what a list has more than before at its end; ok is false for what is no such list.
func added(before, after any) (more []any, ok bool) {
	b, isList := before.([]any)
	a, alsoList := after.([]any)
	if !isList || !alsoList || len(a) < len(b) {
		return nil, false
	}
	for i := range b {
		if !reflect.DeepEqual(a[i], b[i]) {
			return nil, false
		}
	}
	return a[len(b):], true
}
