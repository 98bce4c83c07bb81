package gorillastore

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/merge"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/valuecodec"
)

// dataVersion of what the rows hold. It differs from those of other stores over the same tables.
const dataVersion byte = 'g'

// Data is a stored session: its name and its values. It is immutable.
type Data struct {
	name    string
	encoded []byte
}

// Name returns the name under which the session was saved.
func (d Data) Name() string { return d.name }

// size is how many bytes rowCodec makes of it.
func (d Data) size() int { return 1 + len(d.name) + len(d.encoded) }

// Values decodes the values. The caller owns the map.
func (d Data) Values() (map[any]any, error) {
	pairs, err := valuecodec.Decode(d.encoded)
	if err != nil {
		return nil, err
	}
	values := make(map[any]any, len(pairs)+1)
	for _, p := range pairs {
		if p.Key != nil && !reflect.TypeOf(p.Key).Comparable() {
			return nil, errData
		}
		values[p.Key] = p.Value
	}
	return values, nil
}

var errData = errors.New("gorillastore: data is not what this store writes")

// loadedKey is where a session's values hold what it was loaded as. No program has it.
type loadedKey struct{}

// loginKey is where BeginLogin leaves a sessionstore.Login as text, until the login.
const loginKey = "__pgcoherence_login"

// providerKey is where FromProvider leaves issuer and sid, as long as the login.
const providerKey = "__pgcoherence_provider"

func encode(name string, values map[any]any, withLogin bool) (Data, error) {
	pairs := make([]valuecodec.Pair, 0, len(values))
	for key, value := range values {
		if _, ours := key.(loadedKey); !ours && (withLogin || key != loginKey && key != providerKey) {
			pairs = append(pairs, valuecodec.Pair{Key: key, Value: value})
		}
	}
	encoded, err := valuecodec.Encode(pairs)
	return Data{name, encoded}, err
}

// same reports whether a session's values are those of before, now encoded.
func same(before, now Data, values map[any]any) bool {
	if bytes.Equal(before.encoded, now.encoded) {
		return true
	}

	old, err := before.Values() // the same values can be other bytes: gob within, another process
	if err != nil {
		return false
	}

	bare := make(map[any]any, len(values))
	for key, value := range values {
		if _, ours := key.(loadedKey); !ours {
			bare[key] = value
		}
	}

	return reflect.DeepEqual(old, bare)
}

// combine applies what a request has changed to what the database holds now.
func combine(base, mine, now Data) (Data, error) {
	if bytes.Equal(base.encoded, now.encoded) || base.name != now.name {
		return mine, nil
	}
	before, err := base.Values()
	if err != nil {
		return Data{}, err
	}

	own, err := mine.Values()
	if err != nil {
		return Data{}, err
	}

	theirs, err := now.Values()
	if err != nil {
		return Data{}, err
	}

	return encode(mine.name, merge.Values(before, own, theirs), true)
}

// holdsNothing reports whether there is nothing in a session's values but what this package has put there.
func holdsNothing(values map[any]any) bool {
	for key := range values {
		if _, ours := key.(loadedKey); !ours && key != loginKey && key != providerKey {
			return false
		}
	}
	return true
}

// rowCodec is the sessionstore's.
type rowCodec struct{}

var _ sessionstore.Codec[Data] = rowCodec{}

// Version implements sessionstore.Codec.
func (rowCodec) Version() byte { return dataVersion }

// Encode implements sessionstore.Codec.
func (rowCodec) Encode(d Data) ([]byte, error) {
	if d.name == "" || len(d.name) > 255 {
		return nil, fmt.Errorf("%w: its name has %d bytes", errData, len(d.name))
	}
	return append(append([]byte{byte(len(d.name))}, d.name...), d.encoded...), nil
}

// Decode implements sessionstore.Codec. It tries whether the values decode, so that a session which this program cannot
// read is none. The sessionstore does that once for each row in memory.
func (rowCodec) Decode(version byte, b []byte) (Data, error) {
	if version != dataVersion || len(b) == 0 || len(b) <= int(b[0]) {
		return Data{}, fmt.Errorf("%w: version %d", errData, version)
	}
	n := 1 + int(b[0])
	d := Data{string(b[1:n]), slices.Clone(b[n:])}
	_, err := d.Values()
	return d, err
}

// loaded is what a session was loaded as.
type loaded struct {
	id      string // as the session's ID
	token   string
	user    string
	data    Data
	cookie  string           // the name of the one that the browser has it in; empty: it has none yet
	options sessions.Options // that the cookie was last set with, as far as is known
	err     error            // trouble: it is not known what there is
}

func loadedOf(session *sessions.Session) *loaded {
	l, _ := session.Values[loadedKey{}].(*loaded)
	return l
}

// String keeps what programs print of all values short, and the token out of it.
func (*loaded) String() string { return "(session)" }

// GoString is String.
func (*loaded) GoString() string { return "(session)" }
