package sessionstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Device describes a session in lists, so that users recognize theirs. It comes from the client: too long texts are
// cut, invalid UTF-8 is replaced, and no decision depends on it.
type Device struct {
	Label     string            `json:"label,omitempty"`      // the user's name for it; up to 200 bytes
	UserAgent string            `json:"user_agent,omitempty"` // up to 500 bytes
	IP        string            `json:"ip,omitempty"`         // of the login; up to 100 bytes
	Location  string            `json:"location,omitempty"`   // up to 200 bytes
	Method    string            `json:"method,omitempty"`     // how the login was authenticated; up to 100 bytes
	Extra     map[string]string `json:"extra,omitempty"`      // up to 20 entries of up to 100 and 500 bytes
}

const maxExtra = 20

func (d Device) clean() Device {
	c := Device{
		Label: cut(d.Label, 200), UserAgent: cut(d.UserAgent, 500), IP: cut(d.IP, 100), Location: cut(d.Location, 200), Method: cut(d.Method, 100),
	}
	for k, v := range d.Extra {
		if c.Extra == nil {
			c.Extra = make(map[string]string, min(len(d.Extra), maxExtra))
		}
		if len(c.Extra) == maxExtra {
			break
		}
		c.Extra[cut(k, 100)] = cut(v, 500)
	}
	return c
}

// text is the column. A nil device is an empty one.
func (d *Device) text() string {
	if d == nil {
		return "{}"
	}
	b, err := json.Marshal(d.clean())
	if err != nil {
		return "{}" // strings always marshal
	}
	return string(b)
}

func parseDevice(column []byte) (d Device) {
	_ = json.Unmarshal(column, &d) // what others have written there is not worth failing a request
	return d
}

// cut makes text of whatever came in: jsonb refuses NUL.
func cut(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	s = strings.ToValidUTF8(s, "")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

// checkText says what is wrong with text that is compared, and so must not be mended.
func checkText(s string) error {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%w: text is not UTF-8 without NUL", ErrInvalid)
	}
	return nil
}

const (
	maxUser   = 256
	maxIssuer = 1000
)

func checkUser(user string) error {
	if user == "" || len(user) > maxUser {
		return fmt.Errorf("%w: user has %d bytes, want 1 to %d", ErrInvalid, len(user), maxUser)
	}
	if err := checkText(user); err != nil {
		return fmt.Errorf("%w (user)", err)
	}
	return nil
}

// checkOwner is checkUser for a session that may be anonymous.
func checkOwner(user string) error {
	if user == "" {
		return nil
	}

	return checkUser(user)
}

func checkSID(issuer, sid string) error {
	if (issuer == "") != (sid == "") {
		return fmt.Errorf("%w: issuer and sid go together", ErrInvalid)
	}
	if len(issuer) > maxIssuer || len(sid) > maxIssuer {
		return fmt.Errorf("%w: issuer and sid have at most %d bytes", ErrInvalid, maxIssuer)
	}
	if err := checkText(issuer + sid); err != nil {
		return fmt.Errorf("%w (issuer and sid)", err)
	}
	return nil
}
