# Signs in over RVP with Perl's Authen::NTLM and prints the status of the last leg.
#   sign_in.pl HOST PORT USER PASSWORD DOMAIN VERSION(1|2)
use strict;
use warnings;
use Authen::NTLM;
use IO::Socket::INET;

my ($host, $port, $user, $password, $domain, $version) = @ARGV;
my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 20)
    or die "connect: $!";

sub leg {
    my ($token) = @_;
    print $socket "SUBSCRIBE /instmsg/aliases/$user HTTP/1.1\r\nHost: im.example.com\r\n"
        . "RVP-Notifications-Version: 0.2\r\n"
        . "RVP-From-Principal: http://im.example.com/instmsg/aliases/$user\r\n"
        . "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\n"
        . "Call-Back: http://127.0.0.1:1025/\r\n"
        . "Authorization: NTLM $token\r\nContent-Length: 0\r\n\r\n";
    my ($status, $challenge, $length) = (0, "", 0);
    while (my $line = <$socket>) {
        $line =~ s/\r?\n$//;
        last if $line eq "";
        $status = $1 if $line =~ m{^HTTP/1\.\d (\d+)};
        $challenge = $1 if $line =~ m{^WWW-Authenticate: NTLM (\S+)}i;
        $length = $1 if $line =~ m{^Content-Length: (\d+)}i;
    }
    read($socket, my $body, $length) if $length;
    return ($status, $challenge);
}

ntlm_reset();
ntlm_user($user);
ntlm_password($password);
ntlm_domain($domain);
ntlm_host("PERLBOX");
ntlmv2($version == 2 ? 1 : 0);
my ($status, $challenge) = leg(ntlm());
die "no challenge: $status\n" unless $status == 401 && $challenge;
($status) = leg(ntlm($challenge));
print "$status\n";
