package agents

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// interfaces reports the management port and every cabled port.
func (u unit) interfaces(boot, now time.Time) map[string]any {
	management := u.iface("M1", 0, 1, boot)
	management["counters"] = u.counters(u.name+"/M1", "control/"+u.name, 1, 0.002, boot, now)
	management["lldpNeighbors"] = []any{u.neighbour("control-1", "enp2s1", "Flatcar Container Linux", nil)}
	interfaces := map[string]any{"M1": management}
	for _, p := range u.ports {
		gigabits := u.speed(p)
		up := u.iface(p.name, portNumber(p.name), gigabits, boot)
		far := p.peer + "/" + p.peerPort
		if p.peer == "" {
			far = "outside of " + u.name + "/" + p.name
		}
		up["counters"] = u.counters(u.name+"/"+p.name, far, gigabits, 0.35, boot, now)
		up["fec"] = "rs"
		if gigabits < 100 {
			up["fec"] = "disabled"
		}
		if p.peer != "" {
			up["lldpNeighbors"] = []any{u.farEnd(p)}
		}
		interfaces[p.name] = up
	}
	return interfaces
}

func (u unit) iface(name string, index, gigabits int, boot time.Time) map[string]any {
	return map[string]any{
		"enabled": true,
		"admin":   "up",
		"oper":    "up",
		"mac":     u.mac(index),
		// A port comes up within two minutes of its switch.
		"change":        stamp(boot.Add(time.Duration(u.dice.between(20, 120, u.name, name, "up") * float64(time.Second)))),
		"speed":         strconv.Itoa(gigabits) + "G",
		"auto":          gigabits == 1,
		"errDisabled":   false,
		"linkFlapCount": 0,
	}
}

// portNumber counts the ports of a switch, first the whole ones and then the parts of broken out ones.
func portNumber(name string) int {
	number := 0
	for i, part := range strings.Split(name, "/") {
		n, _ := strconv.Atoi(part)
		switch i {
		case 1:
			number += n
		case 2:
			number += 64 * (n - 1)
		}
	}
	return number
}

// speed is a port's rate in Gbit/s: what the Switch asks for, or what its use suggests.
func (u unit) speed(p port) int {
	gigabits, _ := strconv.Atoi(strings.TrimSuffix(text(u.spec, "portSpeeds", p.name), "G"))
	switch {
	case gigabits > 0:
		return gigabits
	case p.use == "fabric" || p.use == "mesh" || p.use == "gateway" || p.use == "mclagDomain":
		return 100
	default:
		return 25
	}
}

// farEnd is what LLDP says about the other end of the cable.
func (u unit) farEnd(p port) map[string]any {
	s, isSwitch := u.wiring.switches[p.peer]
	if !isSwitch {
		return u.neighbour(p.peer, p.peerPort, "Ubuntu 24.04.1 LTS", nil)
	}
	n := u.neighbour(p.peer, p.peerPort, "Hedgehog Fabric", s.Spec)
	n["serial"] = serialOf(s.Spec, u.dice, p.peer)
	return n
}

func (u unit) neighbour(system, port, descr string, spec map[string]any) map[string]any {
	return map[string]any{
		"chassis":   macOf(spec, u.dice, system),
		"name":      system,
		"sysName":   system,
		"sysDescr":  descr,
		"portID":    port,
		"portDescr": port,
	}
}

// counters report the traffic of a port. Each direction follows from the end that sends, so that what one end sent the
// other received; counters are the integral of the rates, so that they fit and never fall.
func (u unit) counters(near, far string, gigabits int, load float64, boot, now time.Time) map[string]any {
	line := float64(gigabits) * 1e9
	in, inBits := u.dice.traffic(far, line*load, boot, now)
	out, outBits := u.dice.traffic(near, line*load, boot, now)
	seconds := now.Sub(boot).Seconds()
	// One port in eight sees a bad frame now and then.
	errors := 0.0
	if u.dice.unit(near, "bad") < 0.125 {
		errors = u.dice.between(0.2, 6, near, "errors") / 86400
	}
	const frame = 780
	return map[string]any{
		"inb": int64(in), "inbps": round(inBits, 0), "inpbs": round(inBits/8/frame, 1), "inu": int64(100 * inBits / line),
		"outb": int64(out), "outbps": round(outBits, 0), "outpps": round(outBits/8/frame, 1), "outu": int64(100 * outBits / line),
		"ine": int64(seconds * errors), "oute": int64(0),
		"ind": int64(seconds * u.dice.between(0, 0.01, near, "ind")), "outd": int64(seconds * u.dice.between(0, 0.002, near, "outd")),
		"clear":  stamp(boot),
		"queues": map[string]any{"UC0": queue(out, outBits, 0.97, frame), "UC7": queue(out, outBits, 0.03, frame)},
	}
}

func queue(bytes, bits, share float64, frame float64) map[string]any {
	return map[string]any{
		"b": int64(bytes * share), "p": int64(bytes * share / frame),
		"bps": int64(bits * share), "pps": int64(bits * share / 8 / frame),
		"db": int64(0), "dp": int64(0), "ecnb": int64(0), "ecnp": int64(0), "wreddp": int64(0),
	}
}

// traffic returns the bytes that a sender sent since boot and its rate now in bit/s, which stays below the given rate.
func (d dice) traffic(sender string, highest float64, boot, now time.Time) (sum, rate float64) {
	const swing = 0.4
	middle := highest / (1 + swing) * d.between(0.02, 1, sender, "load")
	period := 11 * time.Minute
	seconds := period.Seconds() * d.between(0.8, 1.25, sender, "period")
	a, b := d.angle(boot, period, sender), d.angle(now, period, sender)
	rate = middle * (1 + swing*math.Sin(b))
	// The integral of the sine; its angle advances by 2 pi in one period.
	sum = middle * (now.Sub(boot).Seconds() - swing*(math.Cos(b)-math.Cos(a))*seconds/(2*math.Pi))
	return max(0, sum) / 8, rate
}
