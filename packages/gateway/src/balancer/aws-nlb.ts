import { commentLines, idleSeconds, type BalancedService, type BalancerPlan } from './plan.ts'

/** A template of CloudFormation: one network load balancer, and for each listener a target group with its attributes. */
export function awsNlbText({ services, trust }: BalancerPlan): string {
  const named = services.map((service, index) => ({ service, id: logicalId(service, index) }))
  return `${commentLines('#', [
    'An AWS network load balancer in front of Postern, as a CloudFormation template. TLS is passed through: Postern holds the certificates.',
    ...trust,
    'The headers come from the addresses of the balancer itself: name its subnets in trusted-networks.',
  ])}AWSTemplateFormatVersion: "2010-09-09"
Description: Network load balancer in front of Postern
Parameters:
  Vpc:
    Type: AWS::EC2::VPC::Id
  Subnets:
    Type: List<AWS::EC2::Subnet::Id>
Resources:
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Type: network
      Scheme: internet-facing
      Subnets: !Ref Subnets
      LoadBalancerAttributes:
        - { Key: load_balancing.cross_zone.enabled, Value: "true" }
${named.map(({ service, id }) => resources(service, id)).join('')}Outputs:
  Name:
    Value: !GetAtt Balancer.DNSName
`
}

/**
 * The balancer puts a header before its checks too, whatever they speak: so no check may go to the admin endpoint, which
 * takes none.
 */
function resources({ name, front, gateways }: BalancedService, id: string): string {
  // A target group has one family: IPv4 where a gateway has both.
  const isIpv6 = gateways.every(({ host }) => host.includes(':'))
  const members = gateways.filter(({ host }) => host.includes(':') === isIpv6)
  const targets = members.map(({ host, port }) => `        - { Id: "${host}", Port: ${port} }\n`).join('')
  return `  ${id}Targets: # listener ${name}
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      VpcId: !Ref Vpc
      Protocol: TCP
      Port: ${gateways[0]?.port ?? 0}
      TargetType: ip
      IpAddressType: ${isIpv6 ? 'ipv6' : 'ipv4'}
      Targets:
${targets}      # Connects, says LOCAL and closes.
      HealthCheckProtocol: TCP
      HealthCheckPort: traffic-port
      HealthCheckIntervalSeconds: 10
      HealthyThresholdCount: 2
      UnhealthyThresholdCount: 2
      TargetGroupAttributes:
        - { Key: proxy_protocol_v2.enabled, Value: "true" }
        # Without it the header waits for the client's first bytes, and the client for the greeting: no mail flows. AWS
        # support must first allow the account to set it; until then this line makes the stack fail.
        - { Key: proxy_protocol_v2.client_to_server.header_placement, Value: on_first_ack }
        # With it the header would come from the client's own address, which nobody trusts.
        - { Key: preserve_client_ip.enabled, Value: "false" }
        - { Key: deregistration_delay.timeout_seconds, Value: "300" }
${[...new Set(front.map(({ port }) => port))].map((port, index) => listener(id, port, index)).join('')}`
}

function listener(id: string, port: number, index: number): string {
  return `  ${id}Listener${index === 0 ? '' : index + 1}:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Protocol: TCP
      Port: ${port}
      DefaultActions:
        - { Type: forward, TargetGroupArn: !Ref ${id}Targets }
      # IMAP's IDLE rests for up to 29 minutes (RFC 2177); unless it is told otherwise the balancer forgets after 350 s.
      ListenerAttributes:
        - { Key: tcp.idle_timeout.seconds, Value: "${idleSeconds}" }
`
}

/** Letters and digits alone; the number keeps `a-b` and `a--b` apart. */
function logicalId({ name }: BalancedService, index: number): string {
  const words = name.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  return `${words.join('')}${index + 1}`
}
