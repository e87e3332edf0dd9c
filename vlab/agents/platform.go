package agents

import (
	"strconv"
	"time"
)

// platform reports fans, power supplies and temperatures.
func (u unit) platform(now time.Time) map[string]any {
	fans, psus, temps := map[string]any{}, map[string]any{}, map[string]any{}
	for i := range 4 {
		name := "FAN " + strconv.Itoa(i+1)
		fans[name] = map[string]any{
			"dir": "INTAKE", "presence": true, "status": true,
			"speed": round(u.dice.wander(9800, 350, now, u.name, name), 0),
		}
	}
	for i := range 2 {
		name := "PSU " + strconv.Itoa(i+1)
		out := u.dice.wander(92+float64(len(u.ports)), 9, now, u.name, name)
		volts := u.dice.wander(230, 2.5, now, u.name, name, "mains")
		in := out / 0.93
		psus[name] = map[string]any{
			"presence": true, "status": true,
			"inPower": round(in, 1), "inVoltage": round(volts, 1), "inCurrent": round(in/volts, 2),
			"outPower": round(out, 1), "outVoltage": 12.0, "outCurrent": round(out/12, 2),
		}
	}
	for _, sensor := range []struct {
		name           string
		middle, by     float64
		high, critical float64
	}{
		{"ASIC", 52, 5, 95, 105},
		{"CPU", 46, 6, 90, 100},
		{"Inlet", 24, 2, 45, 55},
		{"Outlet", 35, 3, 60, 70},
	} {
		middle := sensor.middle + u.dice.between(-3, 3, u.name, sensor.name)
		temps[sensor.name] = map[string]any{
			"temp":          round(u.dice.wander(middle, sensor.by, now, u.name, sensor.name, "temp"), 1),
			"alarms":        "",
			"highThreshold": sensor.high, "critHighThreshold": sensor.critical,
			"lowThreshold": 0.0, "critLowThreshold": -5.0,
		}
	}
	return map[string]any{"fans": fans, "psus": psus, "temps": temps}
}

// resources reports how full the switch's tables are.
func (u unit) resources(now time.Time) map[string]any {
	stats := map[string]any{}
	switches, ports := float64(len(u.wiring.switches)), float64(len(u.ports))
	for _, table := range []struct {
		name       string
		size, used float64
	}{
		{"ipv4Routes", 98304, 4*switches + 2*ports},
		{"ipv4Nexthops", 49152, 2 * ports},
		{"ipv4Neighbors", 32768, 3 * ports},
		{"ipv6Routes", 24576, 2},
		{"ipv6Nexthops", 24576, 0},
		{"ipv6Neighbors", 16384, 0},
		{"fdbEntries", 98304, 8 * ports},
		{"nexthopGroups", 512, switches},
		{"nexthopGroupMembers", 16384, 4 * switches},
		{"ipmcEntries", 8192, 0},
		{"dnatEntries", 1024, 0},
		{"snatEntries", 1024, 0},
	} {
		used := int64(max(0, u.dice.wander(table.used, table.used/20, now, u.name, table.name)))
		used = min(used, int64(table.size))
		stats[table.name+"Used"], stats[table.name+"Available"] = used, int64(table.size)-used
	}
	direction := func(word string) map[string]any {
		binds := map[string]any{}
		for _, bind := range []string{"lag", "port", "rif", "switch", "vlan"} {
			groups := int64(u.dice.bits(u.name, word, bind) % 3)
			binds[bind] = map[string]any{
				"groupsUsed": groups, "groupsAvailable": 9 - groups,
				"tablesUsed": groups, "tablesAvailable": 6 - groups,
			}
		}
		return binds
	}
	acl := map[string]any{"ingress": direction("ingress"), "egress": direction("egress")}
	return map[string]any{"stats": stats, "aclStats": acl}
}
