# SPDX-License-Identifier: GPL-2.0-or-later
# An example. The policy is refused before it is moved into place, and loaded when it has changed.
file { '/etc/tcpguard/tcpguard.yaml':
  ensure       => file,
  mode         => '0640',
  source       => 'puppet:///modules/tcpguard/tcpguard.yaml',
  validate_cmd => '/usr/bin/tcpguard check --as /etc/tcpguard/tcpguard.yaml %',
  notify       => Exec['load the tcpguard policy'],
}

# Puppet runs on the host and proves nothing about the way to it: who watches the run confirms with
# 'tcpguard reload', or the policy before comes back.
exec { 'load the tcpguard policy':
  command     => '/usr/bin/tcpguard reload --confirm 10m',
  refreshonly => true,
}
