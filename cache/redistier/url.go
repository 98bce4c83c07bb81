package redistier

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math/bits"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// probeInterval is how often an idle connection is asked whether it still works.
const probeInterval = time.Second

// topologyInterval is how often the sentinels are asked for the master, beside what they push by themselves.
const topologyInterval = 5 * time.Second

// options turns a Config into rueidis' options; the dialer is still missing. No error of url.Parse or rueidis.ParseURL is
// passed on: they quote the URL, and where a password is not encoded, a piece of it lands in any of its parts.
func (c *Config) options() (rueidis.ClientOption, error) {
	var o rueidis.ClientOption
	if c.URL == "" {
		return o, fmt.Errorf("%w: URL: %w", ErrConfig, ErrNoURL)
	}
	switch scheme, _, _ := strings.Cut(c.URL, ":"); strings.ToLower(scheme) {
	case "redis", "rediss", "valkey", "valkeys", "unix":
	default:
		return o, fmt.Errorf("%w: URL: want redis://, rediss:// or unix://", ErrConfig)
	}
	if _, err := url.Parse(c.URL); err != nil {
		return o, fmt.Errorf("%w: URL: malformed; special characters of a password have to be percent-encoded", ErrConfig)
	}
	o, err := rueidis.ParseURL(c.URL)
	if err != nil {
		return o, fmt.Errorf("%w: URL: the path is not the number of a database, or a parameter has no valid value", ErrConfig)
	}
	if len(o.InitAddress) == 1 && o.InitAddress[0] == "" {
		return o, fmt.Errorf("%w: URL: no path of a socket", ErrConfig)
	}
	o.Username, o.Password = cmp.Or(c.Username, o.Username), cmp.Or(c.Password, o.Password)
	o.SelectDB = cmp.Or(c.DB, o.SelectDB)
	if o.SelectDB < 0 {
		return o, fmt.Errorf("%w: URL: the number of the database is negative", ErrConfig)
	}
	c.setTLS(&o)
	c.DialTimeout = cmp.Or(c.DialTimeout, o.Dialer.Timeout, DefaultDialTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, o.ConnWriteTimeout, DefaultWriteTimeout)
	o.Dialer = net.Dialer{Timeout: c.DialTimeout, KeepAlive: probeInterval}
	o.ConnWriteTimeout = c.ReadTimeout // which is rueidis' name for how long a reply may take

	o.Sentinel.Dialer = o.Dialer
	o.Sentinel.Dialer.Control = markSentinel
	o.Sentinel.TLSConfig = o.TLSConfig
	o.Sentinel.Username, o.Sentinel.Password = c.SentinelUsername, c.SentinelPassword
	o.Sentinel.TopologyRefreshInterval = topologyInterval

	o.DisableCache = true     // coherence is the bus' part
	o.DisableRetry = true     // a miss is better than a late hit
	o.AlwaysPipelining = true // a call that gives up does not cost the others their connection
	o.ClusterOption.MaxMovedRedirections = 3
	o.ReadBufferEachConn, o.WriteBufferEachConn = 64<<10, 64<<10
	o.PipelineMultiplex = -1 // one connection; a standalone server gets several clients
	if o.Sentinel.MasterSet != "" {
		o.PipelineMultiplex = min(bits.Len(uint(c.PoolSize))-1, rueidis.MaxPipelineMultiplex)
		if o.PipelineMultiplex == 0 {
			o.PipelineMultiplex = -1 // 0 means rueidis' default
		}
	}
	return o, nil
}

func (c *Config) setTLS(o *rueidis.ClientOption) {
	if c.TLS == nil {
		return
	}
	host := ""
	if o.TLSConfig != nil {
		host = o.TLSConfig.ServerName
	} else if len(o.InitAddress) > 0 {
		host, _, _ = net.SplitHostPort(o.InitAddress[0]) // not for a socket, where there is none
	}
	o.TLSConfig = c.TLS.Clone()
	o.TLSConfig.ServerName = cmp.Or(o.TLSConfig.ServerName, host)
	o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, tls.VersionTLS12)
}

// redact is a URL without what may be secret.
func redact(text string) string {
	if text == "" {
		return `""`
	}
	u, err := url.Parse(text)
	if err != nil {
		return "(malformed)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.UserPassword("xxxxx", "xxxxx")
	}
	return shown.String()
}
