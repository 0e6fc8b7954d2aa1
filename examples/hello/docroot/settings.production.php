<?php
return ['greeting' => 'Hello from Boxyard'];
