package scsstore

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/merge"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/valuecodec"
)

// The forms of Data, as the row has them. They differ from those of other stores over the same tables.
const (
	formValues  byte = 's' // sessionstore/internal/valuecodec
	formManager byte = 't' // the manager's own codec
	formGob     byte = 'u' // scs.GobCodec, imported
	formOpaque  byte = 'v' // bytes that were committed past the manager's codec
)

// Data is the stored values of a session. It is immutable.
type Data struct {
	form    byte
	encoded []byte
}

var errForm = errors.New("scsstore: data of a form that this store does not know")

// forms turn values into Data and back.
type forms struct {
	own scs.Codec // that the program has chosen; nil for scs' default
}

func newForms(codec scs.Codec) forms {
	switch codec.(type) {
	case nil, scs.GobCodec, *scs.GobCodec:
		return forms{}
	}
	return forms{own: codec}
}

// encode leaves out the keys that are not the program's.
func (f forms) encode(values map[string]any, without func(string) bool) (Data, error) {
	if f.own != nil {
		encoded, err := f.own.Encode(time.Time{}, clean(values, without))
		return Data{formManager, encoded}, err
	}
	pairs := make([]valuecodec.Pair, 0, len(values))
	for key, value := range values {
		if !without(key) {
			pairs = append(pairs, valuecodec.Pair{Key: key, Value: value})
		}
	}
	encoded, err := valuecodec.Encode(pairs)
	return Data{formValues, encoded}, err
}

func clean(values map[string]any, without func(string) bool) map[string]any {
	bare := make(map[string]any, len(values))
	for key, value := range values {
		if !without(key) {
			bare[key] = value
		}
	}
	return bare
}

// decode makes a new copy of the values.
func (f forms) decode(d Data) (values map[string]any, err error) {
	switch d.form {
	case 0:
	case formValues:
		pairs, err := valuecodec.Decode(d.encoded)
		if err != nil {
			return nil, err
		}
		values = make(map[string]any, len(pairs)+1)
		for _, p := range pairs {
			key, ok := p.Key.(string)
			if !ok {
				return nil, errForm
			}
			values[key] = p.Value
		}
	case formManager:
		if f.own == nil {
			return nil, errForm
		}
		_, values, err = f.own.Decode(d.encoded)
	case formGob:
		_, values, err = scs.GobCodec{}.Decode(d.encoded)
	default:
		err = errForm
	}

	if err == nil && values == nil {
		values = map[string]any{}
	}
	return values, err
}

// same reports whether these are the values that were loaded as before, now encoded.
func (f forms) same(before, now Data, values map[string]any, without func(string) bool) bool {
	if before.form == now.form && bytes.Equal(before.encoded, now.encoded) {
		return true
	}
	// The same values can be other bytes: gob within, another process, an older form.
	old, err := f.decode(before)
	return err == nil && reflect.DeepEqual(old, clean(values, without))
}

// merge applies what a request has changed to what the database holds now. What cannot be taken apart is replaced.
func (f forms) merge(own *frame, now Data) (Data, error) {
	base := own.from.data
	switch {
	case own.unchanged:
		return now, nil
	case base.form == now.form && bytes.Equal(base.encoded, now.encoded), base.form == formOpaque, now.form == formOpaque:
		return own.data, nil
	}

	before, err := f.decode(base)
	if err != nil {
		return Data{}, err
	}

	mine, err := f.decode(own.data)
	if err != nil {
		return Data{}, err
	}

	theirs, err := f.decode(now)
	if err != nil {
		return Data{}, err
	}

	return f.encode(merge.Values(before, mine, theirs), func(string) bool { return false })
}

// rowCodec is the sessionstore's.
type rowCodec struct{ forms forms }

var _ sessionstore.Codec[Data] = rowCodec{}

// Version implements sessionstore.Codec. The form is in the bytes: several are written, and one is imported.
func (rowCodec) Version() byte { return formValues }

// Encode implements sessionstore.Codec.
func (rowCodec) Encode(d Data) ([]byte, error) {
	if d.form == 0 {
		return nil, errForm
	}
	return append([]byte{d.form}, d.encoded...), nil
}

// Decode implements sessionstore.Codec. It tries whether the values decode, so that a session which this program cannot
// read is none. The sessionstore does that once for each row in memory.
func (c rowCodec) Decode(version byte, b []byte) (Data, error) {
	if version != formValues || len(b) == 0 || b[0] == 0 {
		return Data{}, fmt.Errorf("%w: version %d", errForm, version)
	}
	d := Data{b[0], slices.Clone(b[1:])}
	if d.form == formOpaque {
		return d, nil
	}
	_, err := c.forms.decode(d)
	return d, err
}

// adopt takes what a manager without this package has written. The bytes stay as they are: whatever decodes them now
// does so later, and nothing is lost on the way.
func (f forms) adopt(b []byte) (d Data, deadline time.Time, values map[string]any, err error) {
	if f.own != nil {
		d = Data{formManager, slices.Clone(b)}
		deadline, values, err = f.own.Decode(b)
	} else {
		d = Data{formGob, slices.Clone(b)}
		deadline, values, err = scs.GobCodec{}.Decode(b)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", sessionstore.ErrUnreadable, err)
	}
	return d, deadline, values, err
}
