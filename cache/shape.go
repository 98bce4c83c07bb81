package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"reflect"
	"slices"
)

// shapeOf identifies what values of a type look like to a codec: the names, types and tags of fields, and those of what
// they hold. Two versions of a program that give it differently do not read each other's values.
func shapeOf(t reflect.Type) string {
	w := shapeWriter{sum: sha256.New(), seen: map[reflect.Type]int{}}
	w.write(t)
	return digest(w.sum.Sum(nil))
}

// digest is the beginning of a hash, as text: 60 bits, which do not meet by chance.
func digest(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum)[:10] }

type shapeWriter struct {
	sum  hash.Hash
	seen map[reflect.Type]int // in the order of their first mention; types can contain themselves
}

// encodings are methods by which a type decides itself what a codec writes: then its name counts.
var encodings = []string{
	"MarshalJSON", "MarshalJSONTo", "MarshalText", "MarshalBinary", "GobEncode", "MarshalMsgpack", "EncodeMsgpack", "MarshalCBOR",
	"MarshalYAML", "MarshalXML", "ProtoReflect",
}

func (w *shapeWriter) text(format string, args ...any) {
	fmt.Fprintf(w.sum, format+"\n", args...) // a hash returns no error
}

func (w *shapeWriter) write(t reflect.Type) {
	if n, ok := w.seen[t]; ok {
		w.text("type %d", n)
		return
	}
	w.seen[t] = len(w.seen)

	pointer := reflect.PointerTo(t)
	if slices.ContainsFunc(encodings, func(name string) bool { _, ok := pointer.MethodByName(name); return ok }) {
		w.text("encodes itself %q %q", t.PkgPath(), t.Name())
	}

	w.text("%s", t.Kind())
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		w.write(t.Elem())
	case reflect.Array:
		w.text("%d", t.Len())
		w.write(t.Elem())
	case reflect.Map:
		w.write(t.Key())
		w.write(t.Elem())
	case reflect.Struct:
		w.text("%d", t.NumField())
		for i := range t.NumField() {
			f := t.Field(i)
			w.text("%q %q %t", f.Name, f.Tag, f.Anonymous)
			w.write(f.Type)
		}
	case reflect.Interface:
		w.text("%d %q", t.NumMethod(), t.String())
	default: // the kind says it all
	}
}
