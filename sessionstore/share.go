package sessionstore

import (
	"reflect"
	"time"
)

// sharing is how callers get at data that was decoded once.
type sharing uint8

const (
	shareNot   sharing = iota // decoded for each
	shareClone                // copied by Config.Clone
	shareAll                  // the same for all
)

// sharingOf decides. Assigning a value copies it in full if nothing in its type can be reached through a pointer.
func sharingOf[T any](c *Config[T]) sharing {
	switch {
	case c.Clone != nil:
		return shareClone
	case c.ShareData || flat(reflect.TypeFor[T]()):
		return shareAll
	}
	return shareNot
}

// timeType holds a pointer to a location, which cannot be changed through it.
var timeType = reflect.TypeFor[time.Time]()

func flat(t reflect.Type) bool {
	if t == timeType {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !flat(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.UnsafePointer:
		return false
	}

	return true
}
