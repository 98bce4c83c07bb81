package scsstore

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// frame is what the manager's codec and the store exchange in the bytes that scs passes from one to the other. It
// never leaves the process.
type frame struct {
	deadline  time.Time // as scs has it
	user      string    // whose session it is, by WithUser
	knowsUser bool      // there is a WithUser
	login     string    // sessionstore.Login of BeginLogin, if it is this user's
	issuer    string    // of the identity provider's session, if a login came from one
	sid       string
	unchanged bool    // data is what was loaded
	from      *origin // nil: the session was not loaded
	data      Data
}

// origin is what a session was loaded as. A pointer to it travels among the session's values.
type origin struct {
	token    digest
	id       uuid.UUID
	user     string
	deadline time.Time
	data     Data // in a frame on its way to the store only if that of the frame differs
}

// String keeps what programs print of all values short.
func (*origin) String() string { return "(session)" }

// digest distinguishes tokens.
type digest [16]byte

// No codec's output begins like this by chance.
const frameMagic = "\x00pgcoherence scs 2\x00"

func (f *frame) bytes() []byte {
	size := len(frameMagic) + 128 + len(f.user) + len(f.login) + len(f.data.encoded)
	if f.from != nil && !f.unchanged {
		size += len(f.from.data.encoded)
	}

	b := make([]byte, 0, size)
	b = append(b, frameMagic...)
	b = appendTime(b, f.deadline)
	b = appendText(b, f.user)
	b = appendBool(b, f.knowsUser)
	b = appendText(b, f.login)
	b = appendText(b, f.issuer)
	b = appendText(b, f.sid)
	b = appendBool(b, f.unchanged)
	b = appendBool(b, f.from != nil)
	if o := f.from; o != nil {
		b = append(b, o.token[:]...)
		b = append(b, o.id[:]...)
		b = appendText(b, o.user)
		b = appendTime(b, o.deadline)
		b = appendBool(b, !f.unchanged)
		if !f.unchanged {
			b = append(b, o.data.form)
			b = binary.AppendUvarint(b, uint64(len(o.data.encoded)))
			b = append(b, o.data.encoded...)
		}
	}

	b = append(b, f.data.form)
	return append(b, f.data.encoded...)
}

// parseFrame; ours is false for bytes of another codec. The frame's data shares memory with b.
func parseFrame(b []byte) (f frame, ours bool, err error) {
	if len(b) < len(frameMagic) || string(b[:len(frameMagic)]) != frameMagic {
		return f, false, nil
	}
	r := frameReader{rest: b[len(frameMagic):]}
	f.deadline = r.time()
	f.user = r.text()
	f.knowsUser = r.bool()
	f.login = r.text()
	f.issuer = r.text()
	f.sid = r.text()
	f.unchanged = r.bool()
	if r.bool() {
		f.from = &origin{token: digest(r.take(16)), id: uuid.UUID(r.take(16)), user: r.text(), deadline: r.time()}
		if r.bool() {
			f.from.data = Data{r.take(1)[0], r.bytes()}
		}
	}

	f.data.form = r.take(1)[0]
	f.data.encoded = r.rest
	if r.short {
		return frame{}, true, ErrFrame
	}

	return f, true, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// frameReader reads zeros where there is nothing left.
type frameReader struct {
	rest  []byte
	short bool
}

func (r *frameReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return make([]byte, max(min(n, 16), 1))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *frameReader) bool() bool { return r.take(1)[0] == 1 }

func (r *frameReader) text() string { return string(r.bytes()) }

// bytes shares memory with the frame.
func (r *frameReader) bytes() []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)-size) {
		r.short, r.rest = true, nil
		return nil
	}
	r.rest = r.rest[size:]
	return r.take(int(n))
}

func (r *frameReader) time() time.Time {
	seconds := binary.BigEndian.Uint64(r.take(8))
	return time.Unix(int64(seconds), int64(binary.BigEndian.Uint32(r.take(4)))).UTC()
}
