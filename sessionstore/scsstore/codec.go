package scsstore

import (
	"bytes"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// ReservedKey is the prefix of the names of the store's own values, which scs.SessionManager.Keys includes.
const ReservedKey = "__pgcoherence"

const (
	originKey = ReservedKey            // *origin, in sessions that were loaded
	loginKey  = ReservedKey + "_login" // sessionstore.Login as text, from BeginLogin until the login

	providerKey = ReservedKey + "_provider" // issuer and sid of FromProvider, until the login
)

// parseProvider is the reverse of what FromProvider puts.
func parseProvider(value any) (issuer, sid string) {
	text, _ := value.(string)
	issuer, sid, _ = strings.Cut(text, " ")
	return issuer, sid
}

// managerCodec is between scs and the store: it sees the values, which the store does not.
type managerCodec struct {
	forms forms
	user  func(values map[string]any) string
}

var _ scs.Codec = managerCodec{}

// Encode implements scs.Codec.
func (c managerCodec) Encode(deadline time.Time, values map[string]any) (_ []byte, err error) {
	f := frame{deadline: deadline, knowsUser: c.user != nil}
	f.from, _ = values[originKey].(*origin)
	switch {
	case c.user != nil:
		f.user = c.user(values)
	case f.from != nil:
		f.user = f.from.user
	}

	if text, ok := values[loginKey].(string); ok {
		var login sessionstore.Login
		if login.UnmarshalText([]byte(text)) == nil && login.User() == f.user {
			f.login = text
		}
	}

	if f.user != "" {
		f.issuer, f.sid = parseProvider(values[providerKey])
	}
	without := func(key string) bool {
		return key == originKey || key == loginKey && f.login != "" || key == providerKey && f.user != ""
	}

	if f.data, err = c.forms.encode(values, without); err != nil {
		return nil, err
	}
	f.unchanged = f.from != nil && c.forms.same(f.from.data, f.data, values, without)
	return f.bytes(), nil
}

// Decode implements scs.Codec.
func (c managerCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	f, ours, err := parseFrame(b)
	switch {
	case err != nil:
		return time.Time{}, nil, err
	case !ours && c.forms.own != nil:
		return c.forms.own.Decode(b)
	case !ours:
		return scs.GobCodec{}.Decode(b)
	}

	values, err := c.forms.decode(f.data)
	if err != nil {
		return time.Time{}, nil, err
	}

	if f.from != nil {
		f.from.data = Data{f.data.form, bytes.Clone(f.data.encoded)}
		values[originKey] = f.from
	}

	return f.deadline, values, nil
}
