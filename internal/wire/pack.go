package wire

import (
	"strconv"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

const (
	// overhead is version, epoch, authentication code and the spaces between.
	overhead = 2 + EpochIDLen + 1 + 1 + 16
	// tail is the room kept for the end of a body: closing brackets, a mark and a question.
	tail = len(`]}],"m":{"from":"18446744073709551615.4294967295","to":"18446744073709551615.4294967295","n":9223372036854775807},"ask":true}`) + 32
)

// Pack writes events, and after them the mark if there is one, into as few payloads as needed; nil events and a nil
// mark with ask false give none. They belong into one NOTIFY transaction, in this order. Equal keys of a topic are
// merged, and more than maxKeys keys of one topic become the whole topic. An event that spans payloads is named only in
// the last of them, so a pod that has received its name has received all of it.
func (c *Codec) Pack(events []Event, mark *Mark, ask bool, maxKeys int) []string {
	p := packer{codec: c}
	order, topics := byTopic(events)
	for _, topic := range order {
		p.topic(topic, topics[topic], maxKeys)
	}
	p.flush(mark, ask)
	return p.payloads
}

// Probe returns a payload with nothing but a number: if its sender receives it, notifications arrive.
func (c *Codec) Probe(number uint64) string {
	return c.seal(append(strconv.AppendUint([]byte(`{"p":`), number, 10), '}'))
}

// byTopic groups events by topic in the order of first appearance.
func byTopic(events []Event) ([]string, map[string][]Event) {
	var order []string
	topics := make(map[string][]Event)
	for _, e := range events {
		if _, ok := topics[e.Topic]; !ok {
			order = append(order, e.Topic)
		}
		topics[e.Topic] = append(topics[e.Topic], e)
	}
	return order, topics
}

type packer struct {
	codec    *Codec
	payloads []string
	body     []byte // of the payload being written, without its tail
	groups   int    // complete groups in it

	// The group being written.
	head []byte // {"t":"…"
	keys []byte
	ids  []byte
	all  bool
	also bool   // keys of an event that goes on in the next payload or has no name
	xids []byte // the transactions of such events
	last uint64 // the last of them
	at   int64
	seen map[string]bool

	item []byte // the key or name being written, whose memory is used again
}

func (p *packer) topic(topic string, events []Event, maxKeys int) {
	p.open(topic, whole(events, maxKeys))

	for _, e := range events {
		if e.Nothing() {
			continue
		}

		p.oldest(e.At)

		if !p.all {
			for _, key := range e.Keys {
				if p.seen[key] {
					continue
				}

				p.item = appendString(p.item[:0], key)
				if !p.fits(len(p.item) + 1) {
					p.unnamed(e)
					p.split(topic)
					p.oldest(e.At)
				}

				p.seen[key] = true
				p.keys = appendItem(p.keys, p.item)
			}
		}

		if e.HasID {
			p.name(topic, e)
		} else if p.unnamed(e); !p.fits(0) {
			p.split(topic)
		}
	}

	p.close()
}

// unnamed notes that keys of an event are here and its name is not. fits leaves room for one.
func (p *packer) unnamed(e Event) {
	p.also = true
	if e.ID.XID != 0 && (e.ID.XID != p.last || len(p.xids) == 0) {
		p.last = e.ID.XID
		if len(p.xids) > 0 {
			p.xids = append(p.xids, ',')
		}
		p.xids = strconv.AppendUint(p.xids, e.ID.XID, 10)
	}
}

// name writes an event's identity, after its last key.
func (p *packer) name(topic string, e Event) {
	p.item = append(e.ID.Append(append(p.item[:0], '"')), '"')
	if !p.fits(len(p.item) + 1) {
		p.unnamed(e)
		p.split(topic)
		p.oldest(e.At)
	}
	p.ids = appendItem(p.ids, p.item)
}

// whole reports whether a topic's events should become the whole topic: one of them is, there are too many keys, or a
// key is too long for any payload (only a writer that goes round this library can have written that one).
func whole(events []Event, maxKeys int) bool {
	n := 0
	for _, e := range events {
		if e.All {
			return true
		}

		for _, key := range e.Keys {
			if 6*len(key) > MaxPayload/2 && len(appendString(nil, key)) > MaxPayload/2 {
				return true
			}
		}

		n += len(e.Keys)
	}

	if n <= maxKeys {
		return false
	}

	distinct := make(map[string]struct{}, n)
	for _, e := range events {
		for _, key := range e.Keys {
			distinct[key] = struct{}{}
		}
	}

	return len(distinct) > maxKeys
}

func (p *packer) open(topic string, all bool) {
	p.head = appendString(append(p.head[:0], `{"t":`...), topic)
	p.keys, p.ids, p.xids, p.at, p.all, p.also = p.keys[:0], p.ids[:0], p.xids[:0], 0, all, false
	p.seen = make(map[string]bool)
	if !p.fits(0) {
		p.flush(nil, false)
	}
}

func (p *packer) oldest(at int64) {
	if at != 0 && (p.at == 0 || at < p.at) {
		p.at = at
	}
}

// fits reports whether n more bytes fit into the payload with the group being written.
func (p *packer) fits(n int) bool {
	const group = len(`,"k":[],"all":true,"x":[],"u":true,"w":[],18446744073709551615,"at":-9223372036854775808},`)
	return overhead+tail+len(p.body)+len(p.head)+len(p.keys)+len(p.ids)+len(p.xids)+group+n <= MaxPayload
}

// split ends the payload in the middle of a group and opens the same group in the next.
func (p *packer) split(topic string) {
	all := p.all
	p.close()
	p.flush(nil, false)
	p.open(topic, all)
}

// close ends the group being written; one that says nothing vanishes.
func (p *packer) close() {
	if len(p.keys) == 0 && len(p.ids) == 0 && !p.all {
		return
	}
	if p.groups > 0 {
		p.body = append(p.body, ',')
	}

	p.groups++
	p.body = append(p.body, p.head...)
	if p.all {
		p.body = append(p.body, `,"all":true`...)
	} else if len(p.keys) > 0 {
		p.body = append(append(append(p.body, `,"k":[`...), p.keys...), ']')
	}

	if len(p.ids) > 0 {
		p.body = append(append(append(p.body, `,"x":[`...), p.ids...), ']')
	}
	if p.also {
		p.body = append(p.body, `,"u":true`...)
	}
	if len(p.xids) > 0 {
		p.body = append(append(append(p.body, `,"w":[`...), p.xids...), ']')
	}
	if p.at != 0 {
		p.body = strconv.AppendInt(append(p.body, `,"at":`...), p.at, 10)
	}

	p.body = append(p.body, '}')
}

func (p *packer) flush(mark *Mark, ask bool) {
	if p.groups == 0 && mark == nil && !ask {
		return
	}

	b := []byte{'{'}
	if p.groups > 0 {
		b = append(append(append(b, `"e":[`...), p.body...), ']')
	}
	if mark != nil {
		b = appendMark(separate(b), *mark)
	}
	if ask {
		b = append(separate(b), `"ask":true`...)
	}

	p.payloads = append(p.payloads, p.codec.seal(append(b, '}')))
	p.body, p.groups = p.body[:0], 0
}

func separate(b []byte) []byte {
	if len(b) > 1 {
		return append(b, ',')
	}
	return b
}

func appendMark(b []byte, m Mark) []byte {
	quote := func(b []byte, s position.Stamp) []byte { return strconv.AppendQuote(b, s.String()) }
	b = quote(append(b, `"m":{"from":`...), m.From)
	b = quote(append(b, `,"to":`...), m.To)
	if m.Pods > 0 {
		b = strconv.AppendInt(append(b, `,"n":`...), m.Pods, 10)
	}
	return append(b, '}')
}

func appendItem(list, item []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return append(list, item...)
}
